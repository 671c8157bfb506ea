// Who may vouch for the endpoints of each domain: the certificates of the domains' authorities, kept for good.
//
//   STATE/authorities/DOMAIN.pem
//
// Of this host's own domain it is known by the token that the host has joined with. Of another one it is that which the
// domain's name server showed when it was asked for the first time; from then on no other is believed, until somebody
// removes the file, which counts at once. Whoever has got an authority's certificate in another way can put it there
// before.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "sns/identity.hpp"

namespace sessionfs::fs {

inline constexpr const char* authorities_name = "authorities";
/// Domains of which an authority is kept in memory; that of one more is read again when it is needed.
inline constexpr std::size_t max_authorities_in_memory = 4096;

class Authorities {
 public:
  explicit Authorities(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Null when none is known.
  /// Valid until the next call of this object.
  [[nodiscard]] X509* find(std::string_view domain);
  [[nodiscard]] sns::Certificate get(std::string_view domain);
  /// For the domain that this host belongs to; nothing is written.
  void set(const std::string& domain, const sns::Certificate& certificate);
  /// Keeps what a name server has shown for a domain of which none is known. What cannot be written counts until the
  /// end of the process.
  void learn(const std::string& domain, const sns::Certificate& certificate);
  [[nodiscard]] std::filesystem::path file_of(std::string_view domain) const;

 private:
  struct Known {
    sns::Certificate certificate;
    bool in_file = false;  // then it counts as long as the file is there
  };

  void remember(const std::string& domain, const Known& known);

  std::filesystem::path folder_;
  std::map<std::string, Known, std::less<>> known_;
};

}  // namespace sessionfs::fs
