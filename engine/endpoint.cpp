#include "engine/endpoint.hpp"

namespace sessionfs {

std::string Endpoint::free_session_name(std::string_view service, const EndpointName& peer) const {
  for (std::size_t number = 1;; ++number) {
    std::string candidate = incoming_session_name(service, peer, number);
    if (!sessions.contains(candidate)) return candidate;
  }
}

}  // namespace sessionfs
