#include "fs/names.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>

#include "fs/files.hpp"
#include "fs/membership_file.hpp"

namespace sessionfs::fs {
namespace {

constexpr const char* local_domain = "local";

sns::UnixTime wall_clock() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

DialFailure failure_of(sns::Status status) {
  switch (status) {
    case sns::Status::not_found:
    case sns::Status::wrong_domain:
      return DialFailure::no_endpoint;
    case sns::Status::timed_out:
      return DialFailure::timed_out;
    case sns::Status::untrusted:
      return DialFailure::untrusted;
    default:
      return DialFailure::unreachable;
  }
}

}  // namespace

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

Names::Names(asio::io_context& io, const Config& config, std::filesystem::path state, std::function<void()> changed)
    : io_(io), config_(config), state_(std::move(state)), links_(io, std::move(changed)) {}

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
      sns::Storage::open(folder, config_.domain, wall_clock(), sns::Durability::process));
  local_->on_trouble = [](const std::string& what) { spdlog::error("name server: {}", what); };
  const auto key_file = folder / "member.key";
  const bool known = std::filesystem::exists(key_file);
  const auto key = known ? sns::KeyPair::from_pem(read_file(key_file, sns::max_pem_bytes)) : sns::KeyPair::generate();
  if (!known) replace_file(key_file, key.pem());
  const auto membership = local_->admit(key, wall_clock());
  authority_ = local_->authority().certificate();
  client_ = std::make_unique<sns::Client>(io_, *local_, membership);
}

void Names::use(const sns::Membership& membership) {
  if (membership.domain != config_.domain)
    throw std::runtime_error("sessionfs: this state is a member of " + membership.domain + ", not of " +
                             config_.domain + "; name another folder with --state");
  sns::Client::Config client(membership);
  if (const auto place = config_.sns.find(membership.domain); place != config_.sns.end())
    client.servers.insert(client.servers.begin(), place->second.str());
  authority_ = membership.ca;
  client_ = std::make_unique<sns::Client>(io_, client);
}

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
  if (const auto place = config_.sns.find(parsed->domain); place != config_.sns.end())
    parsed->servers.insert(parsed->servers.begin(), place->second.str());
  sns::join(io_, *parsed, [this, done](sns::Status status, const sns::Membership& membership) {
    if (status != sns::Status::ok) return done(errno_of(status), "join: " + std::string(sns::describe(status)));
    try {
      save_membership(membership_file(), membership);
      use(membership);
    } catch (const std::exception& error) {
      return done(EIO, std::string("join: ") + error.what());
    }
    done(0, "");
  });
}

void Names::handle_network_change() {
  if (joined() && !local_) client_->reconnect();
}

void Names::resolve(const EndpointName& peer, const std::string& service, bool first, bool resides_here,
                    const std::function<void(Runtime::Resolved)>& done) {
  if (!joined()) return asio::post(io_, [done] { done(DialFailure::unreachable); });
  auto found = [this, peer, first, resides_here, done](sns::Status status, const sns::EndpointInfo& info) {
    resolved(peer, first, resides_here, status, info, done);
  };
  if (first) {
    client_->get_service({service, peer}, std::move(found));
  } else {
    client_->get_ep(peer, std::move(found));
  }
}

void Names::resolved(const EndpointName& peer, bool first, bool resides_here, sns::Status status,
                     const sns::EndpointInfo& info, const std::function<void(Runtime::Resolved)>& done) {
  if (resides_here && (status == sns::Status::ok || !first)) return done(own_addresses());
  if (status == sns::Status::ok) {
    Runtime::Addresses addresses;
    for (const auto& address : info.addresses) addresses.push_back(sns::to_endpoint(address));
    if (addresses.empty()) return done(DialFailure::unreachable);
    if (known_.size() >= max_cached_residences) known_.clear();
    known_[peer] = addresses;
    return done(addresses);
  }
  // Sessions that stand go on between known places while the name server is away.
  const auto known = known_.find(peer);
  const bool away = status == sns::Status::unreachable || status == sns::Status::timed_out;
  if (away && !first && known != known_.end()) return done(known->second);
  done(failure_of(status));
}

Runtime::Addresses Names::own_addresses() const {
  const auto listen = asio::ip::make_address(config_.listen.host);
  if (!listen.is_unspecified()) return {{listen, port_}};
  return {{asio::ip::address_v4::loopback(), port_}, {asio::ip::address_v6::loopback(), port_}};
}

std::vector<sns::Address> Names::residence() const {
  std::vector<sns::Address> residence;
  const auto listen = asio::ip::make_address(config_.listen.host);
  for (const auto& address : links_.addresses()) {
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

std::vector<std::string> Names::addresses() const {
  std::vector<std::string> words;
  for (const auto& address : residence()) words.push_back(sns::to_string(address));
  return words;
}

}  // namespace sessionfs::fs
