// What `status` says of the host and of each endpoint.
#include <cstring>

#include "fs/operations.hpp"

namespace sessionfs::fs {
namespace {

std::string state_words(const Session& session) {
  std::string words(name_of(session.state()));
  if (session.failure() != Failure::none) words += std::string(" (") + std::strerror(errno_of(session.failure())) + ")";
  return words;
}

std::string seconds_since(Time then, Time now) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now - then).count()) + "s";
}

std::string place_of(const boost::asio::ip::tcp::endpoint& endpoint) {
  return sns::to_string(sns::to_address(endpoint));
}

std::string words_of_pause(const Pause& pause) {
  switch (pause.event) {
    case Event::user_suspend:
      return "suspended here";
    case Event::peer_suspend:
      return "suspended by the peer";
    case Event::timeout:
    case Event::attempt_lost:
      return "the way over a better link was lost before the peer had answered on it";
    default:
      return pause.silent ? "nothing was heard from the peer any more" : "the connection broke";
  }
}

}  // namespace

std::string Operations::host_status() {
  std::string text = "mount: " + names_.mountpoint() + "\n";
  text += "domain: " + names_.domain() + "\n";
  text += "name server: " + names_.state() + "\n";
  text += "default endpoint: " + residents_.default_name().str() + "\n";
  for (const auto& address : names_.residence(residents_.default_name()))
    text += "address: " + sns::to_string(address) + "\n";
  std::size_t sessions = 0;
  std::size_t services = 0;
  for (const auto& [name, resident] : residents_.all()) {
    const Endpoint* endpoint = runtime_.host().find_endpoint(name);
    if (endpoint == nullptr) continue;
    sessions += endpoint->sessions.size();
    services += endpoint->services.size();
    const auto stay = describe(resident.stay);
    text +=
        "endpoint: " + name.str() + " " + (stay.empty() ? resident.registration : "away: " + std::string(stay)) + "\n";
  }
  for (const auto& link : paths_.links().text()) text += "interface: " + link + "\n";
  for (const auto& medium : media_.text()) text += "medium: " + medium + "\n";
  for (const auto& line : travel_.saving()) text += "saving: " + line + "\n";
  for (const auto& line : travel_.loading()) text += "loading: " + line + "\n";
  text += "endpoints: " + std::to_string(residents_.all().size()) + "\n";
  text += "services: " + std::to_string(services) + "\n";
  text += "sessions: " + std::to_string(sessions) + "\n";
  text += "connections: " + std::to_string(runtime_.connections()) + "\n";
  for (const auto& trouble : residents_.troubles()) text += "trouble: " + trouble + "\n";
  if (!last_error_.empty()) text += "last error: " + last_error_ + "\n";
  return text;
}

std::string Operations::endpoint_status(const Resident& resident) {
  const Endpoint* endpoint = runtime_.host().find_endpoint(resident.name);
  std::string text = "endpoint: " + resident.name.str() + "\n";
  text += "generation: " + std::to_string(endpoint->generation) + "\n";
  text += "registration: " + resident.registration + "\n";
  text += "interface: " + paths_.choice(resident.name) + "\n";
  if (!residents_.is_at_home(resident)) text += "storage: " + one_line(resident.storage.string()) + "\n";
  if (const auto stay = describe(resident.stay); !stay.empty()) text += "away: " + std::string(stay) + "\n";
  if (!resident.last_error.empty()) text += "last error: " + resident.last_error + "\n";
  for (const auto& [name, service] : endpoint->services)
    text += "service: " + name + " waiting=" + std::to_string(service.backlog.size()) + "\n";
  const Time now = runtime_.now();
  for (const auto& [name, session] : endpoint->sessions) {
    if (session->state() == State::connecting || !session->accepted()) continue;
    text += "session: " + name + " " + state_words(*session) + " for=" + seconds_since(session->since(), now) +
            " sent=" + std::to_string(session->send_buffer().written()) +
            " acked=" + std::to_string(session->send_buffer().acked()) +
            " received=" + std::to_string(session->recv_buffer().held()) +
            " read=" + std::to_string(session->recv_buffer().read()) +
            " held=" + std::to_string(session->send_buffer().written() - session->send_buffer().acked()) +
            " waiting=" + std::to_string(session->recv_buffer().held() - session->recv_buffer().read());
    if (const auto connection = runtime_.connection_of(*session)) {
      const auto local = connection->local_endpoint();
      text += " interface=" + paths_.links().interface_of(local.address()).value_or("?") + " local=" + place_of(local) +
              " remote=" + place_of(connection->remote_endpoint());
    }
    if (const auto next = session->next_attempt()) text += " next-attempt=" + seconds_since(now, std::max(*next, now));
    const auto last = session->last_transition();
    text += " last=" + (last != 0 ? transition_words(last, session->last_event()) : "-") + "\n";
    if (const auto& pause = session->last_pause())
      text += "pause: " + name + " " + seconds_since(pause->at, now) + " ago: " + words_of_pause(*pause) + "\n";
    if (const auto away = peers_.away_since(session->peer()); away && !session->flows())
      text += "waits: " + name + " for " + session->peer().str() + ", away since " + sns::to_text(*away) + "\n";
    if (const auto* unsure = runtime_.unsure(*session)) text += "unsure: " + name + " " + describe(*unsure) + "\n";
  }
  return text;
}

}  // namespace sessionfs::fs
