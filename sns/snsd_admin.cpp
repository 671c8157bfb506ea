#include "sns/snsd_admin.hpp"

#include <fnmatch.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <stdexcept>

#include "sns/backup.hpp"
#include "sns/backup_text.hpp"
#include "sns/snsd_files.hpp"
#include "sns/tls.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::size_t shown_fingerprint_bytes = 8;
constexpr std::size_t name_column = 36;   // of a list, in characters; longer ones push the rest
constexpr std::size_t where_column = 42;  // "away since 2026-11-23T17:05:00Z", or two addresses

constexpr const char* export_footer = R"(It may be used while the server runs, and is of one moment.

The output holds the private key of the domain's authority, by which every name of the domain can be proved: keep it
secret. One thing a line, '#' starts a comment:
  sessionfs-names 1             the format and its version
  domain DOMAIN
  authority certificate         and the certificate behind it, PEM
  authority key                 and the key behind it, PEM
  member NUMBER key=HEX joined=TIME [revoked=TIME]
  endpoint NAME key=HEX generation=N mark=HEX member=NUMBER changed=TIME [away=TIME] [revoked=TIME] [at=ADDR:PORT]...
  service SERVICE.NAME port=N   of the endpoint above it; 0: the endpoint's port
  end)";

std::optional<MemberId> parse_member(const std::string& text) {
  std::int64_t number = 0;  // what the database's numbers are
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) return std::nullopt;
  return static_cast<MemberId>(number);
}

std::string check_name(const std::string& text) {
  return EndpointName::parse(text) ? "" : "'" + text + "' is no endpoint's name, as object@domain";
}
std::string check_revocable(const std::string& text) {
  if (parse_member(text) || EndpointName::parse(text)) return "";
  return "'" + text + "' is neither a member's number nor an endpoint's name, as object@domain";
}
std::string check_member(const std::string& text) {
  return parse_member(text) ? "" : "'" + text + "' is no member's number";
}

std::string fingerprint_of(const PublicKey& key) {
  std::array<std::byte, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return to_hex(digest).substr(0, 2 * shown_fingerprint_bytes);
}

std::string counted(std::size_t count, const std::string& one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

std::string state_of(const StoredEndpoint& endpoint) {
  if (endpoint.revoked) return "revoked since " + to_text(*endpoint.revoked);
  if (endpoint.entry.away_since) return "away since " + to_text(*endpoint.entry.away_since);
  return endpoint.entry.addresses.empty() ? "nowhere" : "reachable";
}

std::string addresses_of(const StoredEndpoint& endpoint, const std::string& separator) {
  std::string text;
  if (endpoint.revoked) return text;
  for (const auto& address : endpoint.entry.addresses) text += (text.empty() ? "" : separator) + to_string(address);
  return text;
}

// Those of a revoked one count no more, whatever a server has stored that had not yet noticed.
std::size_t services_of(const StoredEndpoint& endpoint) {
  return endpoint.revoked ? 0 : endpoint.entry.services.size();
}

std::string list_line(const StoredEndpoint& endpoint) {
  const auto state = state_of(endpoint);
  const auto where = state == "reachable" ? addresses_of(endpoint, ",") : state;
  return padded(endpoint.name.str(), name_column) + "  " +
         padded(std::to_string(endpoint.entry.residence.generation), 4) + "  " + padded(where, where_column) + "  " +
         counted(services_of(endpoint), "service") + "\n";
}

void print(const std::string& text) { OutputFile({}).write(text); }

[[noreturn]] void no_endpoint(const EndpointName& name) {
  throw std::runtime_error("there is no endpoint " + name.str() + "; look for its name with: snsd list");
}
[[noreturn]] void no_member(MemberId id) {
  throw std::runtime_error("there is no member " + std::to_string(id) + "; look for its number with: snsd members");
}

}  // namespace

// --- the command line -----------------------------------------------------------------------------------------------

AdminCommands::AdminCommands(CLI::App& app, std::function<std::filesystem::path()> state, const std::string& domain)
    : app_(app), state_(std::move(state)), domain_(domain) {
  app_.require_subcommand(0, 1);
  CLI::App* token = add("token", "print a token by which one host can join the domain", &AdminCommands::token);
  token->add_option("--expires", expiry_s_, "for how many seconds it can be used; default 86400")
      ->check(CLI::Range(std::int64_t{1}, max_expiry_s))
      ->option_text("SECONDS");
  token->add_option("--address", addresses_, "where that host finds this server; may be given several times")
      ->check(CLI::Validator(
          [](const std::string& text) { return parse_server(text) ? "" : "'" + text + "' is no ADDR:PORT"; }, ""))
      ->type_name("ADDR:PORT")
      ->expected(1, static_cast<int>(max_token_servers));
  add_lists();
  add_backups();
}

CLI::App* AdminCommands::add(const std::string& name, const std::string& description,
                             void (AdminCommands::*command)() const) {
  CLI::App* added = app_.add_subcommand(name, description);
  added->fallthrough();  // --domain and --state stand before or after it
  added->callback([this, command] { run_ = [this, command] { (this->*command)(); }; });
  return added;
}

void AdminCommands::add_lists() {
  add("members", "list the hosts that have joined: number, key, when, state, how many endpoints they have created",
      &AdminCommands::members);
  CLI::App* revoke = add("revoke",
                         "end a member's right to create endpoints, or an endpoint's key; a running server notices "
                         "within about a second",
                         &AdminCommands::revoke);
  revoke->add_option("MEMBER|ENDPOINT", what_, "a member's number (snsd members), or an endpoint's name")
      ->option_text(" ")
      ->check(CLI::Validator(check_revocable, ""))
      ->required();
  CLI::App* list =
      add("list", "list endpoints: name, generation, where it is, how many services it has", &AdminCommands::list);
  list->add_option("PATTERN", pattern_, "only names that start so, or that match a pattern with * ? [...]")
      ->option_text(" ");
  list->add_option("--member", member_, "only what this member has created")
      ->check(CLI::Validator(check_member, ""))
      ->type_name("NUMBER");
  CLI::App* show = add("show", "tell all about one endpoint, in lines of KEY: VALUE", &AdminCommands::show);
  show->add_option("NAME", name_, "the endpoint's name, object@domain")
      ->option_text(" ")
      ->check(CLI::Validator(check_name, ""))
      ->required();
}

void AdminCommands::add_backups() {
  CLI::App* all = add("export", "write all that the name server keeps, as text, to standard output; keep it secret",
                      &AdminCommands::export_all);
  all->footer(export_footer);
  all->add_option("-o,--output", file_, "write to this file instead, with mode 0600, when all is well")
      ->type_name("FILE");
  CLI::App* import = add("import",
                         "make a name server's database of what export has written, in a folder that has none: all of "
                         "it, or nothing when a line is wrong",
                         &AdminCommands::import_all);
  import->add_option("FILE", file_, "the file; default: standard input")->option_text(" ");
}

Storage AdminCommands::attach() const {
  Storage storage = Storage::attach(state_());
  if (!domain_.empty() && parse_domain(domain_) != storage.domain())
    throw std::runtime_error("the state in " + state_().string() + " belongs to the domain " + storage.domain() +
                             ", not to " + domain_ + "; name another folder with --state");
  return storage;
}

// --- members and endpoints ------------------------------------------------------------------------------------------

void AdminCommands::members() const {
  const Storage storage = attach();
  std::vector<StoredMember> members;
  std::map<MemberId, std::size_t> counts;
  storage.read_at_once([&] {
    members = storage.members();
    counts = storage.endpoint_counts();
  });
  std::string text;
  for (const auto& one : members) {
    text += padded(std::to_string(one.id), 4) + "  " + fingerprint_of(one.key) + "  joined " + to_text(one.joined) +
            "  " + padded(one.revoked ? "revoked since " + to_text(*one.revoked) : "member", where_column) + "  " +
            counted(counts[one.id], "endpoint") + "\n";
  }
  print(text);
}

void AdminCommands::revoke() const {
  Storage storage = attach();
  if (const auto id = parse_member(what_)) return revoke_member(storage, *id);
  revoke_endpoint(storage, EndpointName::parse(what_).value());
}

void AdminCommands::revoke_member(Storage& storage, MemberId id) {
  std::optional<StoredMember> known;
  for (const auto& one : storage.members()) {
    if (one.id == id) known = one;
  }
  if (!known || !storage.revoke_member(id, wall_time())) no_member(id);
  std::string text = "member " + std::to_string(id) + " (" + fingerprint_of(known->key) + ") ";
  text += known->revoked ? "has been revoked since " + to_text(*known->revoked) + "\n"
                         : "is revoked: it can create no more endpoints\n";
  const auto names = storage.endpoints_of(id, max_shown_endpoints + 1);
  if (!names.empty()) {
    text += "those that it has created are still good: ";
    for (std::size_t i = 0; i < std::min(names.size(), max_shown_endpoints); ++i)
      text += (i > 0 ? ", " : "") + names[i].str();
    if (names.size() > max_shown_endpoints) text += " and more (snsd list --member " + std::to_string(id) + ")";
    text += "; revoke them, too, one by one: snsd revoke NAME\n";
  }
  print(text);
}

void AdminCommands::revoke_endpoint(Storage& storage, const EndpointName& name) {
  storage.begin_batch();
  const auto known = storage.find_endpoint(name);
  if (!known) no_endpoint(name);
  if (!known->revoked) storage.store(RevokeEndpoint{name}, 0, wall_time());
  storage.end_batch();
  print(known->revoked ? name.str() + " has been revoked since " + to_text(*known->revoked) + "\n"
                       : name.str() + " is revoked: its key counts no more, and another one can take the name\n");
}

void AdminCommands::list() const {
  const Storage storage = attach();
  const std::string pattern = fold_case(pattern_);
  const std::string prefix = pattern.substr(0, pattern.find_first_of("*?["));
  const bool is_prefix = prefix == pattern;
  OutputFile out({});
  std::string first = prefix;
  for (bool more = true; more;) {
    more = false;
    std::string text;
    std::size_t count = 0;
    storage.for_each_endpoint(first, [&](const StoredEndpoint& one) {
      const std::string& name = one.name.str();
      if (!name.starts_with(prefix)) return false;
      more = ++count > list_page;
      if (more) {
        first = name;
        return false;
      }
      const bool is_wanted = is_prefix || ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
      if (is_wanted && (member_ == 0 || one.member == member_)) text += list_line(one);
      return true;
    });
    out.write(text);  // while nothing is being read
  }
}

void AdminCommands::show() const {
  const Storage storage = attach();
  const auto name = EndpointName::parse(name_).value();
  std::optional<StoredEndpoint> known;
  std::optional<StoredMember> creator;
  storage.read_at_once([&] {
    known = storage.find_endpoint(name);
    if (!known) return;
    for (const auto& one : storage.members()) {
      if (one.id == known->member) creator = one;
    }
  });
  if (!known) no_endpoint(name);
  std::string text = "name: " + name.str() + "\nkey: " + fingerprint_of(known->entry.key) +
                     "\ngeneration: " + std::to_string(known->entry.residence.generation) +
                     "\nstate: " + state_of(*known) + "\naddresses: " + addresses_of(*known, " ") +
                     "\nservices: " + std::to_string(services_of(*known)) + "\n";
  for (std::size_t i = 0; i < services_of(*known); ++i) {
    const auto& service = known->entry.services[i];
    text += "service: " + service.name + " " +
            (service.port == 0 ? "at the endpoint's port" : "port " + std::to_string(service.port)) + "\n";
  }
  text += "created by: ";
  text += creator ? "member " + std::to_string(creator->id) + " (" + fingerprint_of(creator->key) + ")" +
                        (creator->revoked ? ", revoked since " + to_text(*creator->revoked) : "")
                  : "unknown";
  text += "\nchanged: " + to_text(known->changed) + "\n";
  print(text);
}

// --- copies ---------------------------------------------------------------------------------------------------------

void AdminCommands::export_all() const {
  const Storage storage = attach();
  OutputFile out(file_);
  write_backup(storage, [&](std::string_view text) { out.write(text); });
  out.finish();
}

void AdminCommands::import_all() const {
  InputFile in(file_);
  const auto counts = read_backup([&](std::span<char> room) { return in.read(room); }, state_(), domain_, wall_time());
  print("imported " + counted(counts.members, "member") + ", " + counted(counts.endpoints, "endpoint") + " and " +
        counted(counts.services, "service") + " of " + counts.domain + "; start its server with: snsd --domain " +
        counts.domain + "\n");
}

}  // namespace sessionfs::sns
