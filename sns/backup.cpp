#include "sns/backup.hpp"

#include <charconv>
#include <stdexcept>

#include "sns/backup_text.hpp"
#include "sns/client.hpp"

namespace sessionfs::sns {
namespace {

class Pieces {
 public:
  explicit Pieces(const std::function<void(std::string_view)>& write) : write_(write) {
    text_.reserve(backup_piece_bytes + max_backup_line_bytes);
  }
  template <class... Texts>
  Pieces& add(const Texts&... texts) {
    (text_.append(texts), ...);
    return *this;
  }
  Pieces& add_number(std::uint64_t number) {
    char digits[24];
    text_.append(digits, std::to_chars(std::begin(digits), std::end(digits), number).ptr);
    return *this;
  }
  void end_line() {
    text_ += '\n';
    if (text_.size() >= backup_piece_bytes) flush();
  }
  void flush() {
    if (!text_.empty()) write_(text_);
    text_.clear();
  }

 private:
  const std::function<void(std::string_view)>& write_;
  std::string text_;
};

void write_member(Pieces& out, const StoredMember& member) {
  out.add("member ").add_number(member.id).add(" key=", to_hex(member.key), " joined=", to_text(member.joined));
  if (member.revoked) out.add(" revoked=", to_text(*member.revoked));
  out.end_line();
}

void write_endpoint(Pieces& out, const StoredEndpoint& endpoint) {
  const auto& entry = endpoint.entry;
  out.add("endpoint ", endpoint.name.str(), " key=", to_hex(entry.key), " generation=");
  out.add_number(entry.residence.generation).add(" mark=", to_hex(entry.residence.mark), " member=");
  out.add_number(endpoint.member).add(" changed=", to_text(endpoint.changed));
  if (entry.away_since) out.add(" away=", to_text(*entry.away_since));
  if (endpoint.revoked) out.add(" revoked=", to_text(*endpoint.revoked));
  // A server that had not yet noticed may have stored some after it was revoked; they do not count.
  if (!endpoint.revoked) {
    for (const auto& address : entry.addresses) out.add(" at=", to_string(address));
  }
  out.end_line();
}

}  // namespace

BackupCounts write_backup(const Storage& storage, const std::function<void(std::string_view)>& write) {
  BackupCounts counts{storage.domain()};
  Pieces out(write);
  storage.read_at_once([&] {
    const Authority authority = storage.authority();
    out.add(backup_format, " ").add_number(backup_version).add("\ndomain ", storage.domain(), "\n");
    out.add("# The name server's authority. Its key proves every name of the domain: keep this text secret.\n");
    out.add(certificate_line, "\n", authority.certificate().pem(), key_line, "\n", authority.key_pem());
    for (const auto& member : storage.members()) {
      write_member(out, member);
      ++counts.members;
    }
    storage.for_each_endpoint("", [&](const StoredEndpoint& endpoint) {
      write_endpoint(out, endpoint);
      ++counts.endpoints;
      if (endpoint.revoked) return true;
      for (const auto& service : endpoint.entry.services) {
        out.add("service ", service.name, ".", endpoint.name.str(), " port=").add_number(service.port).end_line();
        ++counts.services;
      }
      return true;
    });
    out.add(end_line, "\n");
    out.flush();
  });
  return counts;
}

}  // namespace sessionfs::sns
