#include <nlohmann/json.hpp>

#include "fs/sessionctl/status.hpp"

namespace sessionfs::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr int indentation = 2;

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

template <typename Part>
Json list(const std::vector<Part>& parts, Json (*json)(const Part&)) {
  Json all = Json::array();
  for (const auto& part : parts) all.push_back(json(part));
  return all;
}

Json pause_json(const Pause& pause) { return {{"seconds_ago", or_null(pause.seconds_ago)}, {"why", pause.why}}; }

Json session_json(const SessionReport& session) {
  return {{"name", session.name},
          {"state", session.state},
          {"seconds_in_state", or_null(session.seconds_in_state)},
          {"error", or_null(session.error)},
          {"ended_by", or_null(session.ended_by)},
          {"sent", or_null(session.sent)},
          {"acked", or_null(session.acked)},
          {"received", or_null(session.received)},
          {"read", or_null(session.read)},
          {"held", or_null(session.held)},
          {"waiting", or_null(session.waiting)},
          {"interface", or_null(session.interface)},
          {"local", or_null(session.local)},
          {"remote", or_null(session.remote)},
          {"transition", or_null(session.transition)},
          {"event", or_null(session.event)},
          {"next_attempt_seconds", or_null(session.next_attempt_seconds)},
          {"pause", session.pause ? pause_json(*session.pause) : Json()},
          {"waits_for", or_null(session.waits_for)},
          {"away_since", or_null(session.away_since)},
          {"unsure", or_null(session.unsure)}};
}

Json service_json(const ServiceReport& service) {
  return {{"name", service.name}, {"waiting", or_null(service.waiting)}};
}

Json json_of(const EndpointReport& endpoint) {
  return {{"name", endpoint.name},
          {"registration", or_null(endpoint.registration)},
          {"away", or_null(endpoint.away)},
          {"generation", or_null(endpoint.generation)},
          {"interface", or_null(endpoint.interface)},
          {"interface_why", or_null(endpoint.interface_why)},
          {"storage", or_null(endpoint.storage)},
          {"last_error", or_null(endpoint.last_error)},
          {"services", list(endpoint.services, service_json)},
          {"sessions", list(endpoint.sessions, session_json)}};
}

Json interface_json(const InterfaceReport& interface) {
  return {{"name", interface.name},           {"up", interface.up},
          {"kind", interface.kind},           {"speed_mbits", or_null(interface.speed_mbits)},
          {"metered", interface.metered},     {"default_route", interface.default_route},
          {"addresses", interface.addresses}, {"deprecated_addresses", interface.deprecated_addresses}};
}

Json medium_json(const MediumReport& medium) {
  return {{"device", medium.device},      {"label", or_null(medium.label)},   {"uuid", or_null(medium.uuid)},
          {"type", or_null(medium.type)}, {"folder", or_null(medium.folder)}, {"state", medium.state},
          {"why", or_null(medium.why)}};
}

// Names of files and what programs say need not be UTF-8.
std::string document(const Json& json) {
  return json.dump(indentation, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string host_json(const HostReport& host) {
  return document({{"mount", host.mount},
                   {"domain", host.domain},
                   {"name_server", host.name_server},
                   {"default_endpoint", host.default_endpoint},
                   {"addresses", host.addresses},
                   {"interfaces", list(host.interfaces, interface_json)},
                   {"media", list(host.media, medium_json)},
                   {"totals",
                    {{"endpoints", host.endpoints.size()},
                     {"services", or_null(host.services)},
                     {"sessions", or_null(host.sessions)},
                     {"connections", or_null(host.connections)}}},
                   {"troubles", host.troubles},
                   {"last_error", or_null(host.last_error)},
                   {"endpoints", list(host.endpoints, json_of)}});
}

std::string endpoint_json(const EndpointReport& endpoint) { return document(json_of(endpoint)); }

}  // namespace sessionfs::ctl
