// Names of endpoints, services and sessions (docs: the tree of /session; thesis 3.3.2).
//
// object  1-63 of a-z 0-9 - _ . , first and last a letter or digit
// domain  a DNS name (RFC 1123 labels; one label is enough)
// service 1-63 of a-z 0-9 - _ (no dot), so it ends at the first dot of a whole name
// Upper case is folded to lower case; a whole name is at most max_whole_name bytes.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sessionfs {

inline constexpr std::size_t max_object_bytes = 63;
inline constexpr std::size_t max_service_bytes = 63;
inline constexpr std::size_t max_label_bytes = 32;
inline constexpr std::size_t max_whole_name_bytes = 200;
inline constexpr std::size_t max_file_name_bytes = 255;  // NAME_MAX

/// `object@domain`. Always valid and in lower case: only parse() makes one that is not empty.
class EndpointName {
 public:
  EndpointName() = default;

  /// The name that `text` spells, or nothing when it is no valid name.
  static std::optional<EndpointName> parse(std::string_view text);

  [[nodiscard]] const std::string& str() const { return whole_; }
  [[nodiscard]] std::string_view object() const;
  [[nodiscard]] std::string_view domain() const;
  [[nodiscard]] bool empty() const { return whole_.empty(); }

  friend auto operator<=>(const EndpointName&, const EndpointName&) = default;

 private:
  std::string whole_;
};

/// `service.object@domain`: what a client dials.
struct ServiceName {
  std::string service;
  EndpointName endpoint;

  static std::optional<ServiceName> parse(std::string_view text);
  [[nodiscard]] std::string str() const { return service + "." + endpoint.str(); }
  friend auto operator<=>(const ServiceName&, const ServiceName&) = default;
};

/// `service.object@domain` or `service.object@domain~label`: the file name of a session that was connected from here.
struct DialName {
  ServiceName target;
  std::string label;  // empty: none

  static std::optional<DialName> parse(std::string_view text);
  [[nodiscard]] std::string str() const { return label.empty() ? target.str() : target.str() + "~" + label; }
};

/// The file name of a session that came in: `service~peer~number`.
std::string incoming_session_name(std::string_view service, const EndpointName& peer, std::size_t number);

/// `text` with A-Z in lower case, whatever the locale.
std::string fold_case(std::string_view text);

/// The service name that `text` spells (folded to lower case), or nothing.
std::optional<std::string> parse_service_part(std::string_view text);

/// The DNS name that `text` spells (folded to lower case), or nothing.
std::optional<std::string> parse_domain(std::string_view text);

}  // namespace sessionfs

template <>
struct std::hash<sessionfs::EndpointName> {
  // Not noexcept: by that libstdc++ knows that it is worth keeping beside each name in a table.
  std::size_t operator()(const sessionfs::EndpointName& name) const { return std::hash<std::string>{}(name.str()); }
};
