#include "sns/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

namespace sessionfs::sns {
namespace {

constexpr const char* manager_variable = "NOTIFY_SOCKET";
constexpr std::string_view ready_word = "READY=1";

void send_to(const std::string& place, std::string_view words) {
  sockaddr_un address{};
  if (place.size() >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::ranges::copy(place, address.sun_path);
  if (place.front() == '@') address.sun_path[0] = '\0';  // a name that is no file's
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.size());
  (void)!::sendto(socket, words.data(), words.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                  length);
  ::close(socket);
}

}  // namespace

void tell_ready() {
  const char* variable = std::getenv(manager_variable);
  const std::string place = variable == nullptr ? "" : variable;
  ::unsetenv(manager_variable);
  if (place.starts_with('/') || place.starts_with('@')) send_to(place, ready_word);
}

}  // namespace sessionfs::sns
