#include "fs/sessionctl/report.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>
#include <utility>

#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

// `HEAD MARK REST`; without the mark all of it is the head.
std::pair<std::string, std::string> split(const std::string& text, std::string_view mark) {
  const auto at = text.find(mark);
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + mark.size())};
}

Words words_or_none(const std::string& text) { return text.empty() ? Words() : Words(text); }

// `192s`.
Count seconds(const std::string& text) {
  return text.ends_with('s') ? number_of(std::string_view(text).substr(0, text.size() - 1)) : std::nullopt;
}

struct EndedBy {
  std::string_view event;
  const char* words;
};
constexpr std::array<EndedBy, 5> ending_events{
    {{"user_abort", "it was aborted here"},
     {"peer_abort", "it was aborted by the peer"},
     {"peer_resume_gap", "the peer asked for bytes that are gone here: one side is an older copy"},
     {"denied_lost", "the peer does not hold it any more, or bytes are gone there: one side is an older copy"},
     {"denied_superseded", "it goes on elsewhere"}}};

void read_session_value(SessionReport& session, const std::string& key, const std::string& value) {
  struct Number {
    std::string_view key;
    Count SessionReport::*place;
  };
  static constexpr std::array<Number, 6> numbers{{{"sent", &SessionReport::sent},
                                                  {"acked", &SessionReport::acked},
                                                  {"received", &SessionReport::received},
                                                  {"read", &SessionReport::read},
                                                  {"held", &SessionReport::held},
                                                  {"waiting", &SessionReport::waiting}}};
  if (const auto* found = std::ranges::find(numbers, key, &Number::key); found != numbers.end())
    session.*found->place = number_of(value);
  if (key == "for") session.seconds_in_state = seconds(value);
  if (key == "next-attempt") session.next_attempt_seconds = seconds(value);
  if (key == "interface") session.interface = words_or_none(value);
  if (key == "local") session.local = words_or_none(value);
  if (key == "remote") session.remote = words_or_none(value);
  if (key != "last") return;
  const auto [number, event] = split(value, ":");
  if (number.starts_with('T')) session.transition = number_of(std::string_view(number).substr(1));
  session.event = words_or_none(event);
}

// `NAME STATE (ERROR) KEY=VALUE ...`.
SessionReport parse_session(const std::string& text) {
  SessionReport session;
  std::istringstream words(text);
  std::string state;
  std::string error;
  words >> session.name >> state;
  session.state = state_words(state);
  for (std::string word; words >> word;) {
    if (word.find('=') == std::string::npos) {
      error += (error.empty() ? "" : " ") + word;
    } else {
      const auto [key, value] = split(word, "=");
      read_session_value(session, key, value);
    }
  }
  if (error.starts_with('(') && error.ends_with(')')) error = error.substr(1, error.size() - 2);
  session.error = words_or_none(error);
  if (!session.error || !session.event) return session;
  if (const auto* found = std::ranges::find(ending_events, *session.event, &EndedBy::event);
      found != ending_events.end())
    session.ended_by = found->words;
  return session;
}

// The lines behind it that begin with its name.
void read_remark(SessionReport& session, const std::string& key, const std::string& text) {
  if (key == "unsure") session.unsure = text;
  if (key == "pause") {
    const auto [ago, why] = split(text, " ago: ");
    session.pause = Pause{seconds(ago), why};
  }
  if (key == "waits" && text.starts_with("for ")) {
    const auto [peer, since] = split(text.substr(4), ", away since ");
    session.waits_for = words_or_none(peer);
    session.away_since = words_or_none(since);
  }
}

// `file waiting=2`: 2 sessions have come and are not accepted yet.
ServiceReport parse_service(const std::string& text) {
  const auto [name, waiting] = split(text, " waiting=");
  return {name, number_of(waiting)};
}

// `eth0 up wired 1000Mbit/s metered default-route 10.77.0.1 fd00::1(deprecated)`.
InterfaceReport parse_interface(const std::string& text) {
  constexpr std::string_view speed = "Mbit/s";
  constexpr std::string_view deprecated = "(deprecated)";
  InterfaceReport interface;
  std::istringstream words(text);
  std::string carrier;
  words >> interface.name >> carrier >> interface.kind;
  interface.up = carrier == "up";
  for (std::string word; words >> word;) {
    if (word.ends_with(speed)) {
      interface.speed_mbits = number_of(std::string_view(word).substr(0, word.size() - speed.size()));
    } else if (word == "metered") {
      interface.metered = true;
    } else if (word == "default-route") {
      interface.default_route = true;
    } else if (word.ends_with(deprecated)) {
      interface.deprecated_addresses.push_back(word.substr(0, word.size() - deprecated.size()));
    } else {
      interface.addresses.push_back(word);
    }
  }
  return interface;
}

// `DEVICE LABEL UUID TYPE FOLDER STATE: WHY`, a dash where there is none.
MediumReport parse_medium(const std::string& text) {
  std::istringstream words(text);
  const auto word = [&words] {
    std::string read;
    words >> read;
    return unescaped(read);
  };
  const auto word_or_none = [&word] {
    const auto read = word();
    return read == "-" ? Words() : words_or_none(read);
  };
  MediumReport medium;
  medium.device = word();
  medium.label = word_or_none();
  medium.uuid = word_or_none();
  medium.type = word_or_none();
  medium.folder = word_or_none();
  words >> std::ws;
  std::string rest;
  std::getline(words, rest);
  const auto [state, why] = split(rest, ": ");
  medium.state = state;
  medium.why = words_or_none(why);
  return medium;
}

// `NAME REGISTRATION` or `NAME away: WHY`.
EndpointReport parse_resident(const std::string& text) {
  EndpointReport endpoint;
  const auto [name, words] = split(text, " ");
  endpoint.name = name;
  const auto [registration, away] = split(words, "away: ");
  endpoint.registration = words_or_none(registration);
  endpoint.away = words_or_none(away);
  return endpoint;
}

template <typename Part>
std::vector<Part> all_of(const std::string& status, const char* key, Part (*parse)(const std::string&)) {
  std::vector<Part> parts;
  for (const auto& value : values_of(status, key)) parts.push_back(parse(value));
  return parts;
}

std::vector<SessionReport> parse_sessions(const std::string& endpoint_status) {
  std::vector<SessionReport> sessions;
  std::istringstream lines(endpoint_status);
  for (std::string line; std::getline(lines, line);) {
    const auto [key, text] = split(line, ": ");
    if (key == "session") {
      sessions.push_back(parse_session(text));
    } else if (!sessions.empty() && text.starts_with(sessions.back().name + " ")) {
      read_remark(sessions.back(), key, text.substr(sessions.back().name.size() + 1));
    }
  }
  return sessions;
}

}  // namespace

HostReport parse_host(const std::string& host_status) {
  HostReport host;
  host.mount = value_of(host_status, "mount");
  host.domain = value_of(host_status, "domain");
  host.name_server = value_of(host_status, "name server");
  host.default_endpoint = value_of(host_status, "default endpoint");
  host.addresses = values_of(host_status, "address");
  host.interfaces = all_of(host_status, "interface", parse_interface);
  host.media = all_of(host_status, "medium", parse_medium);
  host.services = number_of(value_of(host_status, "services"));
  host.sessions = number_of(value_of(host_status, "sessions"));
  host.connections = number_of(value_of(host_status, "connections"));
  host.troubles = values_of(host_status, "trouble");
  host.last_error = words_or_none(value_of(host_status, "last error"));
  host.endpoints = all_of(host_status, "endpoint", parse_resident);
  return host;
}

EndpointReport parse_endpoint(const std::string& endpoint_status) {
  EndpointReport endpoint;
  endpoint.name = value_of(endpoint_status, "endpoint");
  endpoint.registration = words_or_none(value_of(endpoint_status, "registration"));
  endpoint.away = words_or_none(value_of(endpoint_status, "away"));
  endpoint.generation = number_of(value_of(endpoint_status, "generation"));
  const auto [interface, why] = split(value_of(endpoint_status, "interface"), ": ");
  if (interface != "none") endpoint.interface = words_or_none(interface);
  endpoint.interface_why = words_or_none(why);
  endpoint.storage = words_or_none(value_of(endpoint_status, "storage"));
  endpoint.last_error = words_or_none(value_of(endpoint_status, "last error"));
  endpoint.services = all_of(endpoint_status, "service", parse_service);
  endpoint.sessions = parse_sessions(endpoint_status);
  return endpoint;
}

HostReport parse_all(const std::string& host_status, const std::vector<std::string>& endpoint_statuses) {
  auto host = parse_host(host_status);
  std::vector<EndpointReport> endpoints;
  endpoints.reserve(host.endpoints.size());
  for (const auto& status : endpoint_statuses) endpoints.push_back(parse_endpoint(status));
  // One that is just being loaded has no files yet. One that is neither there nor away has gone since the host was
  // asked.
  for (const auto& known : host.endpoints)
    if (known.away && std::ranges::find(endpoints, known.name, &EndpointReport::name) == endpoints.end())
      endpoints.push_back(known);
  std::ranges::sort(endpoints, {}, &EndpointReport::name);
  host.endpoints = std::move(endpoints);
  return host;
}

}  // namespace sessionfs::ctl
