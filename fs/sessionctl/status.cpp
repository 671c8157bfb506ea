#include "fs/sessionctl/status.hpp"

#include "fs/sessionctl/table.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t page_columns = 80;

std::string size_or_dash(const Count& bytes) { return bytes ? size_words(*bytes) : "-"; }

std::string ago(const Count& seconds) { return seconds ? duration_words(*seconds) + " ago" : "-"; }

std::string session_table(const std::vector<SessionReport>& sessions) {
  if (sessions.empty()) return "  no sessions\n";
  std::vector<Cells> rows{{"SESSION", "STATE", "SINCE", "HELD", "WAITING"}};
  for (const auto& session : sessions)
    rows.push_back({session.name, session.state, ago(session.seconds_in_state), size_or_dash(session.held),
                    size_or_dash(session.waiting)});
  const auto lines = table_lines(rows);
  std::string text = lines.front() + "\n";
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    text += lines[i + 1] + "\n";
    for (const auto& remark : remarks(sessions[i])) text += "      " + remark + "\n";
  }
  return text;
}

std::string service_words(const ServiceReport& service) {
  if (service.waiting.value_or(0) == 0) return service.name;
  return service.name + " (" + std::to_string(*service.waiting) + " not accepted yet)";
}

// There may be a thousand addresses behind it.
std::string interface_words(const InterfaceReport& interface) {
  return interface.name + (interface.up ? " up" : " down");
}

// `/dev/sdb1 (STICK, vfat) at /media/stick: mounted`.
std::string medium_words(const MediumReport& medium) {
  std::string name;
  for (const auto& part : {medium.label ? medium.label : medium.uuid, medium.type})
    if (part) name += (name.empty() ? "" : ", ") + *part;
  return medium.device + (name.empty() ? "" : " (" + name + ")") + (medium.folder ? " at " + *medium.folder : "") +
         ": " + medium.state + (medium.why ? ": " + *medium.why : "");
}

std::string line(const char* key, const Words& words) {
  return words ? std::string("  ") + key + ": " + *words + "\n" : "";
}

// `  KEY: A, B, C`, on several lines when there are many; nothing when there are none.
template <typename Part, typename InWords>
std::string list(const char* key, const std::vector<Part>& parts, InWords words) {
  if (parts.empty()) return "";
  std::string text;
  std::string line = std::string("  ") + key + ":";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto part = words(parts[i]) + (i + 1 < parts.size() ? "," : "");
    if (line.size() + 1 + part.size() > page_columns) {
      text += line + "\n";
      line = "   ";
    }
    line += " " + part;
  }
  return text + line + "\n";
}

std::string total_words(const HostReport& host) {
  const auto number = [](const Count& count) { return count ? std::to_string(*count) : "-"; };
  return "endpoints " + std::to_string(host.endpoints.size()) + ", services " + number(host.services) + ", sessions " +
         number(host.sessions) + ", connections " + number(host.connections);
}

std::string interface_line(const EndpointReport& endpoint) {
  return line("interface", endpoint.interface.value_or("none") + ": " + endpoint.interface_why.value_or(""));
}

}  // namespace

std::vector<std::string> remarks(const SessionReport& session) {
  std::vector<std::string> all;
  if (session.local && session.remote)
    all.push_back(session.interface.value_or("?") + ": " + *session.local + " to " + *session.remote);
  if (session.error) all.push_back(*session.error + (session.ended_by ? ": " + *session.ended_by : ""));
  if (session.next_attempt_seconds) all.push_back("next attempt in " + duration_words(*session.next_attempt_seconds));
  if (session.pause) all.push_back("last pause " + ago(session.pause->seconds_ago) + ": " + session.pause->why);
  if (session.waits_for)
    all.push_back("waits for " + *session.waits_for +
                  (session.away_since ? ", away since " + *session.away_since : ""));
  if (session.unsure) all.push_back("unsure: " + *session.unsure);
  return all;
}

std::string host_text(const HostReport& host) {
  const auto as_it_is = [](const std::string& words) { return words; };
  std::string text = host.mount + ": domain " + host.domain + ", name server " + host.name_server + "\n" +
                     list("addresses", host.addresses, as_it_is) +
                     list("interfaces", host.interfaces, interface_words) + line("totals", total_words(host));
  for (const auto& medium : host.media) text += line("medium", medium_words(medium));
  for (const auto& trouble : host.troubles) text += line("trouble", trouble);
  return text + line("last error", host.last_error);
}

std::string endpoint_text(const EndpointReport& endpoint) {
  if (!endpoint.registration) return endpoint.name + ": " + endpoint.away.value_or("") + "\n";
  std::string text =
      endpoint.name + ": " + *endpoint.registration + "\n" + interface_line(endpoint) + line("away", endpoint.away);
  if (endpoint.generation) text += line("generation", std::to_string(*endpoint.generation));
  return text + line("storage", endpoint.storage) + list("services", endpoint.services, service_words) +
         line("last error", endpoint.last_error) + session_table(endpoint.sessions);
}

}  // namespace sessionfs::ctl
