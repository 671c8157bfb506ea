#include "engine/endpoint.hpp"

namespace sessionfs {

std::string Endpoint::new_session_name(std::string_view service, const EndpointName& peer) {
  if (last_numbers_.size() >= max_numbered_peers) last_numbers_.clear();
  std::size_t& number = last_numbers_[incoming_session_name(service, peer, 0)];
  while (true) {
    std::string candidate = incoming_session_name(service, peer, ++number);
    if (!sessions.contains(candidate)) return candidate;
  }
}

}  // namespace sessionfs
