// A backup's text back into a database.
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <unordered_set>

#include "sns/backup.hpp"
#include "sns/backup_text.hpp"
#include "sns/storage_restore.hpp"

namespace sessionfs::sns {
namespace {

template <class Value>
using Once = BackupField<Value>;
using Time = Once<UnixTime>;
constexpr std::string_view a_key = "public key: 64 hexadecimal digits";
constexpr std::string_view a_mark = "mark: 32 hexadecimal digits";
constexpr std::string_view a_generation = "generation, from 0 to 9223372036854775807";
constexpr std::string_view a_time = "time as 2026-11-23T17:05:00Z";
constexpr std::string_view an_address = "address that can be reached, as 10.0.0.1:4700 or [2001:db8::1]:4700";

[[noreturn]] void unknown(const BackupWords::Field& field) {
  throw BadLine("it has an unknown word " + quoted(field.name));
}

class BackupReader {
 public:
  BackupReader(const std::function<std::size_t(std::span<char>)>& read, std::filesystem::path folder,
               const std::string& wanted_domain, UnixTime now)
      : lines_(read), folder_(std::move(folder)), wanted_domain_(parse_domain(wanted_domain).value_or("")), now_(now) {}

  BackupCounts read() {
    try {
      first_line();
      for (auto line = next(); line != end_line; line = next()) one(line);
      rest();
    } catch (const BadLine& error) {
      throw std::runtime_error("line " + std::to_string(lines_.number()) + ": " + error.what() +
                               "; correct it and import again, nothing has been imported");
    }
    restore_->finish();
    return counts_;
  }

 private:
  static bool says_nothing(std::string_view line) {
    const auto start = line.find_first_not_of(" \t");
    return start == std::string_view::npos || line[start] == '#';
  }
  std::string_view next() {
    for (;;) {
      const auto line = lines_.next();
      if (!line) throw BadLine("the text ends here, without the line 'end': a part of it is missing");
      if (!says_nothing(*line)) return line->substr(0, line->find_last_not_of(" \t") + 1);
    }
  }
  void rest() {
    if (!restore_) throw BadLine(missing());
    while (const auto line = lines_.next()) {
      if (!says_nothing(*line)) throw BadLine("there is something after 'end'");
    }
  }
  [[nodiscard]] std::string missing() const {
    return counts_.domain.empty() ? "the line 'domain' is missing before it"
                                  : "the authority's certificate and key are missing before it";
  }

  void first_line() {
    BackupWords words(next());
    const auto format = words.word();
    const auto version = parse_number<int>(words.word());
    if (format != backup_format || !version || !words.empty())
      throw BadLine("this is no output of snsd export, which starts with '" + std::string(backup_format) + " " +
                    std::to_string(backup_version) + "'");
    if (*version != backup_version)
      throw BadLine("this is version " + std::to_string(*version) + " of the format, and this program knows " +
                    std::to_string(backup_version) + ": use the program that has made it, or a newer one");
  }

  void one(std::string_view line) {
    BackupWords words(line);
    const auto what = words.word();
    if (what == "domain") return domain(words);
    if (line == certificate_line) return pem(certificate_);
    if (line == key_line) return pem(key_);
    if (what != "member" && what != "endpoint" && what != "service")
      throw BadLine(quoted(line) + " starts with no word that is known here");
    if (!restore_) throw BadLine(missing());
    if (what == "member") return member(words);
    if (what == "endpoint") return endpoint(words);
    return service(words);
  }

  void domain(BackupWords& words) {
    const auto text = words.word();
    const auto parsed = parse_domain(text);
    if (!parsed || !words.empty()) throw BadLine(quoted(text) + " is no valid domain name");
    if (!counts_.domain.empty()) throw BadLine("there is a second domain");
    if (!wanted_domain_.empty() && *parsed != wanted_domain_)
      throw BadLine("this is the domain " + *parsed + ", not " + wanted_domain_);
    counts_.domain = *parsed;
  }

  void pem(std::string& into) {
    if (counts_.domain.empty()) throw BadLine(missing());
    if (!into.empty()) throw BadLine("the authority has this twice");
    for (bool more = true; more;) {
      const auto line = next();
      if (into.empty() && !line.starts_with("-----BEGIN ")) throw BadLine("here a line '-----BEGIN ...' must stand");
      into.append(line) += '\n';
      if (into.size() > max_pem_bytes) throw BadLine("no line '-----END ...' follows");
      more = !line.starts_with("-----END ");
    }
    if (!certificate_.empty() && !key_.empty()) start();
  }

  void start() { restore_ = std::make_unique<StorageRestore>(folder_, authority(), now_); }
  [[nodiscard]] Authority authority() const {
    try {
      Authority made = Authority::load(counts_.domain, key_, certificate_);
      // By its name constraint it can prove names of its own domain only. Not at the present time, so that a clock that
      // is wrong keeps nobody from his names.
      const auto time = made.certificate().not_after() - certificate_slack;
      const auto name = EndpointName::parse("a@" + counts_.domain);
      const auto proof = name ? made.issue_endpoint(*name, KeyPair::generate().public_key(), time) : Certificate();
      if (!verify_chain(proof.get(), made.certificate().get(), X509_PURPOSE_SSL_CLIENT, time))
        throw BadLine("the authority's certificate does not hold for " + counts_.domain);
      return made;
    } catch (const BadLine&) {
      throw;
    } catch (const std::runtime_error& error) {
      throw BadLine("the authority before this line is none: " + std::string(error.what()));
    }
  }

  void member(BackupWords& words) {
    if (counts_.endpoints > 0) throw BadLine("members stand before the first endpoint");
    const auto number = words.word();
    const auto id = parse_number<MemberId>(number, max_restored_member);
    if (id.value_or(0) == 0) throw BadLine(quoted(number) + " is no member's number, which are counted from 1");
    if (++counts_.members > max_members) throw BadLine("there are more members than " + std::to_string(max_members));
    Once<PublicKey> key("key");
    Time joined("joined");
    Time revoked("revoked");
    while (!words.empty()) {
      const auto field = words.field();
      if (key.is(field)) {
        key.set(field, from_hex<sizeof(PublicKey)>(field.value), a_key);
      } else if (joined.is(field)) {
        joined.set(field, parse_time(field.value), a_time);
      } else if (revoked.is(field)) {
        revoked.set(field, parse_time(field.value), a_time);
      } else {
        unknown(field);
      }
    }
    if (!restore_->add({*id, key.required(), joined.required(), revoked.optional()}))
      throw BadLine("there is another member with this number or this key");
    members_.insert(*id);
  }

  void endpoint(BackupWords& words) {
    const auto text = words.word();
    auto name = EndpointName::parse(text);
    if (!name) throw BadLine(quoted(text) + " is no valid name of an endpoint");
    if (name->domain() != counts_.domain) throw BadLine(name->str() + " is not of the domain " + counts_.domain);
    if (++counts_.endpoints > max_endpoints)
      throw BadLine("there are more endpoints than " + std::to_string(max_endpoints));
    endpoint_ = fields_of_endpoint(words);
    endpoint_.name = std::move(*name);
    services_ = 0;
    if (endpoint_.member != 0 && !members_.contains(endpoint_.member))
      throw BadLine("there is no member " + std::to_string(endpoint_.member) + " (member=0: nobody who is known)");
    if (endpoint_.revoked && !endpoint_.entry.addresses.empty())
      throw BadLine("an endpoint that is revoked has no addresses");
    if (!restore_->add(endpoint_)) throw BadLine("there is another endpoint " + endpoint_.name.str());
  }

  static StoredEndpoint fields_of_endpoint(BackupWords& words) {
    StoredEndpoint out;
    Once<PublicKey> key("key");
    Once<std::uint64_t> generation("generation");
    Once<ResidenceMark> mark("mark");
    Once<MemberId> member("member");
    Time changed("changed");
    Time away("away");
    Time revoked("revoked");
    while (!words.empty()) {
      const auto field = words.field();
      if (key.is(field)) {
        key.set(field, from_hex<sizeof(PublicKey)>(field.value), a_key);
      } else if (generation.is(field)) {
        generation.set(field, parse_number<std::uint64_t>(field.value, max_generation), a_generation);
      } else if (mark.is(field)) {
        mark.set(field, from_hex<sizeof(ResidenceMark)>(field.value), a_mark);
      } else if (member.is(field)) {
        member.set(field, parse_number<MemberId>(field.value, max_restored_member), "member's number");
      } else if (changed.is(field)) {
        changed.set(field, parse_time(field.value), a_time);
      } else if (away.is(field)) {
        away.set(field, parse_time(field.value), a_time);
      } else if (revoked.is(field)) {
        revoked.set(field, parse_time(field.value), a_time);
      } else if (field.name == "at") {
        const auto address = parse_address(field.value);
        if (!address) throw BadLine(quoted(field.value) + " is no " + std::string(an_address));
        out.entry.addresses.push_back(*address);
        if (out.entry.addresses.size() > max_addresses)
          throw BadLine("it has more than " + std::to_string(max_addresses) + " addresses");
      } else {
        unknown(field);
      }
    }
    out.entry.key = key.required();
    out.entry.residence = {generation.required(), mark.required()};
    out.member = member.required();
    out.changed = changed.required();
    out.entry.away_since = away.optional();
    out.revoked = revoked.optional();
    return out;
  }

  void service(BackupWords& words) {
    const auto text = words.word();
    const auto name = ServiceName::parse(text);
    if (!name) throw BadLine(quoted(text) + " is no valid name of a service");
    if (name->endpoint != endpoint_.name) throw BadLine(name->str() + " does not belong to the endpoint above it");
    if (endpoint_.revoked) throw BadLine("an endpoint that is revoked has no services");
    if (++services_ > max_services_per_endpoint)
      throw BadLine("there are more than " + std::to_string(max_services_per_endpoint) + " services of this endpoint");
    Once<std::uint16_t> port("port");
    while (!words.empty()) {
      const auto field = words.field();
      if (!port.is(field)) unknown(field);
      port.set(field, parse_number<std::uint16_t>(field.value), "port, from 0 to 65535");
    }
    if (!restore_->add(endpoint_.name, {name->service, port.required()}))
      throw BadLine("there is another service " + name->str());
    ++counts_.services;
  }

  BackupLines lines_;
  std::filesystem::path folder_;
  std::string wanted_domain_;
  UnixTime now_;
  BackupCounts counts_;
  std::string certificate_;
  std::string key_;
  std::unique_ptr<StorageRestore> restore_;
  std::unordered_set<MemberId> members_;
  StoredEndpoint endpoint_;   // the last one
  std::size_t services_ = 0;  // of it
};

}  // namespace

BackupCounts read_backup(const std::function<std::size_t(std::span<char>)>& read, const std::filesystem::path& folder,
                         const std::string& domain, UnixTime now) {
  return BackupReader(read, folder, domain, now).read();
}

}  // namespace sessionfs::sns
