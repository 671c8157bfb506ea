// The endpoints of a host: their coming and going, and their services.
#include <algorithm>
#include <vector>

#include "engine/host.hpp"

namespace sessionfs {

Endpoint& Host::add_endpoint(const EndpointName& name, std::uint64_t generation, Time now) {
  if (const auto old = endpoints_.find(name); old != endpoints_.end() && old->second.removed) {
    for (const auto& session : sessions_at(name)) abort(*session, now);
    endpoints_.erase(name);
  }
  Endpoint& endpoint = endpoints_[name];
  endpoint.name = name;
  endpoint.generation = generation;
  endpoint.frozen = false;
  return endpoint;
}

void Host::remove_endpoint(const EndpointName& name, Time now) {
  Endpoint* endpoint = find_endpoint(name);
  if (endpoint == nullptr) return;
  while (!endpoint->services.empty()) {
    const std::string service = endpoint->services.begin()->first;
    remove_service(*endpoint, service, now);
  }
  while (!endpoint->sessions.empty()) {
    const auto session = endpoint->sessions.begin()->second;
    close(*session, now);
  }
  endpoint->removed = true;
}

Endpoint* Host::find_endpoint(const EndpointName& name) {
  const auto found = endpoints_.find(name);
  return found == endpoints_.end() || found->second.removed ? nullptr : &found->second;
}

void Host::remove_service(Endpoint& endpoint, std::string_view service, Time now) {
  const auto found = endpoint.services.find(service);
  if (found == endpoint.services.end()) return;
  const auto backlog = std::move(found->second.backlog);
  endpoint.services.erase(found);
  for (const auto& session : backlog) close(*session, now);
}

std::shared_ptr<Session> Host::accept(Endpoint& endpoint, std::string_view service) {
  const auto found = endpoint.services.find(service);
  if (found == endpoint.services.end() || found->second.backlog.empty()) return nullptr;
  auto session = std::move(found->second.backlog.front());
  found->second.backlog.pop_front();
  session->set_accepted(true);
  stores_.push_back({.kind = Action::Kind::store, .session = session, .endpoint = {}, .service = {}});
  return session;
}

void Host::give_back(Endpoint& endpoint, const std::shared_ptr<Session>& session) {
  const auto found = endpoint.services.find(session->service());
  if (found == endpoint.services.end() || session->detached() || !slots_.contains(session.get())) return;
  session->set_accepted(false);
  found->second.backlog.push_front(session);
  stores_.push_back({.kind = Action::Kind::store, .session = session, .endpoint = {}, .service = {}});
}

std::vector<std::shared_ptr<Session>> Host::sessions_at(const EndpointName& name) const {
  std::vector<std::shared_ptr<Session>> found;
  for (const auto& [key, session] : sessions_)
    if (key.local == name) found.push_back(session);
  return found;
}

std::vector<Host::Frozen> Host::freeze(Endpoint& endpoint, Time now) {
  endpoint.frozen = true;
  for (auto& [name, service] : endpoint.services) service.backlog.clear();
  endpoint.sessions.clear();
  std::vector<Frozen> frozen;
  for (const auto& session : sessions_at(endpoint.name)) {
    if (session->state() == State::connecting) {
      abort(*session, now);  // it has never stood
      continue;
    }
    for (const ConnId conn : {session->attempt_conn(), session->channel()})
      if (conn != 0) drop_connection(conn, false);
    frozen.push_back({session, record_of(*session)});
    take_out(*session);
    session->depart();
  }
  std::erase_if(stores_, [&](const Action& action) { return !slots_.contains(action.session.get()); });
  return frozen;
}

}  // namespace sessionfs
