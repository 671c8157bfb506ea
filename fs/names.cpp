#include "fs/names.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>

#include "fs/files.hpp"
#include "fs/membership_file.hpp"
#include "sns/tls.hpp"

namespace sessionfs::fs {
namespace {

constexpr const char* local_domain = "local";

bool are_same(const sns::Certificate& one, const sns::Certificate& other) {
  return one && other ? one.fingerprint() == other.fingerprint() : !one && !other;
}

}  // namespace

sns::KeyPair kept_key(const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) return sns::KeyPair::from_pem(read_file(file, sns::max_pem_bytes));
  auto key = sns::KeyPair::generate();
  replace_file(file, key.pem());
  return key;
}

bool is_silence(sns::Status status) { return status == sns::Status::unreachable || status == sns::Status::timed_out; }

int errno_of(sns::Status status) {
  switch (status) {
    case sns::Status::ok:
      return 0;
    case sns::Status::exists:
      return EEXIST;
    case sns::Status::not_found:
      return ENOENT;
    case sns::Status::not_member:
    case sns::Status::bad_signature:
    case sns::Status::wrong_domain:
      return EACCES;
    case sns::Status::stale_generation:
      return ESTALE;
    case sns::Status::bad_name:
    case sns::Status::bad_request:
      return EINVAL;
    case sns::Status::token_expired:
      return EKEYEXPIRED;
    case sns::Status::token_used:
    case sns::Status::token_unknown:
    case sns::Status::revoked:
    case sns::Status::untrusted:
      return EKEYREJECTED;
    case sns::Status::unsupported_version:
      return EPROTONOSUPPORT;
    case sns::Status::limit:
      return ENOSPC;
    case sns::Status::internal:
      return EIO;
    case sns::Status::unreachable:
    case sns::Status::timed_out:
      break;
  }
  return EHOSTUNREACH;
}

Names::Names(asio::io_context& io, const Config& config, std::filesystem::path state, Authorities& authorities,
             const Paths& paths)
    : io_(io),
      config_(config),
      state_(std::move(state)),
      paths_(paths),
      routes_(routes()),
      authorities_(authorities),
      tick_(io) {}

Names::~Names() = default;

void Names::start(std::uint16_t listen_port, std::string mountpoint) {
  port_ = listen_port;
  mountpoint_ = std::move(mountpoint);
  if (config_.domain == local_domain && !config_.sns.contains(local_domain)) return start_local();
  if (std::filesystem::exists(membership_file())) use(load_membership(membership_file()));
}

std::filesystem::path Names::membership_file() const { return state_ / "membership.toml"; }

void Names::start_local() {
  const auto folder = state_ / "local-sns";  // beside that of an snsd with the same state
  std::filesystem::create_directories(folder);
  local_ = std::make_unique<sns::Responder>(
      sns::Storage::open(folder, config_.domain, sns::wall_time(), sns::Durability::process));
  local_->on_trouble = [](const std::string& what) { spdlog::error("name server: {}", what); };
  const auto membership = local_->admit(kept_key(folder / "member.key"), sns::wall_time());
  authorities_.set(config_.domain, local_->authority().certificate());
  client_ = std::make_unique<sns::Client>(io_, *local_, membership);
  start_tick();
}

void Names::start_tick() {
  tick_.expires_after(local_tick);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    local_->tick(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_),
                 sns::wall_time());
    start_tick();
  });
}

void Names::use(const sns::Membership& membership) {
  if (membership.domain != config_.domain)
    throw std::runtime_error("sessionfs: this state is a member of " + membership.domain + ", not of " +
                             config_.domain + "; name another folder with --state");
  sns::Client::Config client(membership);
  const auto place = config_.sns.find(membership.domain);
  client.ask_dns = place == config_.sns.end();
  if (!client.ask_dns) client.servers.insert(client.servers.begin(), place->second.str());
  authorities_.set(membership.domain, membership.ca);
  client_ = std::make_unique<sns::Client>(io_, client);
}

// --- other domains --------------------------------------------------------------------------------------------------

std::shared_ptr<sns::Client> Names::client_of(const std::string& domain) {
  if (!joined()) return nullptr;
  if (domain == config_.domain) return {std::shared_ptr<void>(), client_.get()};
  std::erase_if(outdated_, [](const Foreign& each) { return !each.in_use(); });
  const auto ca = authorities_.get(domain);
  auto found = foreign_.find(domain);
  // Somebody has changed by hand whom to believe.
  if (found != foreign_.end() && !are_same(found->second.believed(), ca)) {
    outdated_.push_back(std::move(found->second));
    foreign_.erase(found);
    found = foreign_.end();
  }
  if (found == foreign_.end()) {
    if (foreign_.size() >= max_foreign_domains && !make_room()) return nullptr;
    found = foreign_.emplace(domain, make_foreign(domain, ca)).first;
  }
  found->second.last_use = ++last_use_;
  return {found->second.users, found->second.client.get()};
}

Names::Foreign Names::make_foreign(const std::string& domain, const sns::Certificate& ca) {
  sns::Client::Config client;
  client.domain = domain;
  const auto place = config_.sns.find(domain);
  client.ask_dns = place == config_.sns.end();
  if (!client.ask_dns) client.servers = {place->second.str()};
  client.ca = ca;
  client.first_use = !ca;
  return {std::make_unique<sns::Client>(io_, client), ca};
}

// Any stranger can claim to be of a domain: those that have proven to be there are the last to go.
bool Names::make_room() {
  const auto worth = [](const Foreign& each) { return std::pair(bool(each.believed()), each.last_use); };
  auto least = foreign_.end();
  for (auto each = foreign_.begin(); each != foreign_.end(); ++each) {
    if (each->second.in_use()) continue;
    if (least == foreign_.end() || worth(each->second) < worth(least->second)) least = each;
  }
  if (least == foreign_.end()) return false;
  foreign_.erase(least);
  return true;
}

void Names::let_go(const std::string& domain) {
  const auto found = foreign_.find(domain);
  if (found != foreign_.end() && !found->second.in_use() && !found->second.believed()) foreign_.erase(found);
}

// --- membership -----------------------------------------------------------------------------------------------------

void Names::join(const std::string& token, std::function<void(int error, const std::string& why)> done) {
  const auto refuse = [&](int error, const std::string& why) {
    asio::post(io_, [done, error, why] { done(error, "join: " + why); });
  };
  auto parsed = sns::parse_join_token(token);
  if (!parsed) return refuse(EINVAL, "this is no token; ask for one with: snsd token");
  if (parsed->domain != config_.domain)
    return refuse(EINVAL, "this token is for " + parsed->domain + ", but the domain of this host is " + config_.domain +
                              "; set domain in the configuration");
  if (joined()) return refuse(EEXIST, "this host is a member of " + config_.domain + " already");
  if (joining_) return refuse(EBUSY, "another token is being tried; wait for its end");
  if (const auto place = config_.sns.find(parsed->domain); place != config_.sns.end())
    parsed->servers.insert(parsed->servers.begin(), place->second.str());
  // A name server that has taken the token, and whose answer was lost, takes it again from the same key.
  sns::KeyPair key;
  try {
    key = kept_key(state_ / joining_name);
  } catch (const std::exception& error) {
    return refuse(EIO, error.what());
  }
  joining_ = true;
  const auto ended = [this, done](sns::Status status, const sns::Membership& membership) {
    joining_ = false;
    if (status != sns::Status::ok) return done(errno_of(status), "join: " + std::string(sns::describe(status)));
    try {
      save_membership(membership_file(), membership);
      std::filesystem::remove(state_ / joining_name);
      use(membership);
    } catch (const std::exception& error) {
      return done(EIO, std::string("join: ") + error.what());
    }
    done(0, "");
  };
  sns::join(io_, *parsed, ended, sns::default_call_timeout, key);
}

std::vector<Link> Names::routes() const {
  auto routes = paths_.links().links();
  std::erase_if(routes, [](const Link& link) { return link.gateways.empty(); });
  return routes;
}

// A new connection takes a while: some link that comes and goes all the time must not keep all calls from their
// answers.
bool Names::handle_network_change(bool moved) {
  const auto former = std::exchange(routes_, routes());
  if (!moved && former == routes_) return false;
  if (joined() && !local_) client_->reconnect();
  for (const auto& [domain, foreign] : foreign_) foreign.client->reconnect();
  return true;
}

Runtime::Addresses Names::own_addresses() const {
  const auto listen = asio::ip::make_address(config_.listen.host);
  if (!listen.is_unspecified()) return {{listen, port_}};
  return {{asio::ip::address_v4::loopback(), port_}, {asio::ip::address_v6::loopback(), port_}};
}

std::vector<sns::Address> Names::residence(const EndpointName& endpoint) const {
  std::vector<sns::Address> residence;
  const auto listen = asio::ip::make_address(config_.listen.host);
  for (const auto& address : paths_.addresses(endpoint)) {
    if (address.is_loopback() && !local_) continue;  // no other host could reach us there
    if (!listen.is_unspecified() && address != listen) continue;
    if (listen.is_unspecified() && listen.is_v4() && !address.is_v4()) continue;
    if (residence.size() == sns::max_addresses) break;
    residence.push_back(sns::to_address({address, port_}));
  }
  if (residence.empty() && local_ && !listen.is_unspecified()) residence.push_back(sns::to_address({listen, port_}));
  return residence;
}

std::string Names::state() const {
  if (local_) return "in this daemon";
  if (joined()) return "joined";
  return "not joined; ask the domain's administrator for a token (snsd token), then: echo \"join TOKEN\" > " +
         mountpoint_ + "/ctl";
}

}  // namespace sessionfs::fs
