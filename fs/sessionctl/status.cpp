#include "fs/sessionctl/status.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t columns = 8;
using Row = std::array<std::string, columns>;

SessionLine parse_session(const std::string& text) {
  SessionLine session;
  std::istringstream words(text);
  std::string name_of_state;
  words >> session.name >> name_of_state;
  session.state = state_words(name_of_state);
  for (std::string word; words >> word;) {
    const auto equals = word.find('=');
    if (equals != std::string::npos) {
      session.values[word.substr(0, equals)] = word.substr(equals + 1);
    } else {
      session.state += " " + word;
    }
  }
  if (const auto next = session.values.find("next-attempt"); next != session.values.end())
    session.remarks.push_back("next attempt in " + duration_words(next->second));
  return session;
}

// `12s ago: why` in words.
std::string pause_words(const std::string& text) {
  const auto blank = std::min(text.find(' '), text.size());
  return "last pause " + duration_words(text.substr(0, blank)) + text.substr(blank);
}

void add_remark(SessionLine& session, const std::string& key, const std::string& text) {
  if (key == "pause") session.remarks.push_back(pause_words(text));
  if (key == "waits") session.remarks.push_back("waits " + text);
  if (key == "unsure") session.remarks.push_back("unsure: " + text);
}

std::string value_or_dash(const SessionLine& session, const char* key) {
  const auto found = session.values.find(key);
  return found == session.values.end() ? "-" : found->second;
}

Row row_of(const SessionLine& session) {
  const auto since = value_or_dash(session, "for");
  return {session.name,
          session.state,
          since == "-" ? since : duration_words(since) + " ago",
          value_or_dash(session, "interface"),
          value_or_dash(session, "local"),
          value_or_dash(session, "remote"),
          size_words(value_or_dash(session, "held")),
          size_words(value_or_dash(session, "waiting"))};
}

std::string session_table(const std::vector<SessionLine>& sessions) {
  std::vector<Row> rows{{"SESSION", "STATE", "SINCE", "INTERFACE", "LOCAL", "REMOTE", "HELD", "WAITING"}};
  for (const auto& session : sessions) rows.push_back(row_of(session));
  std::array<std::size_t, columns> widths{};
  for (const auto& row : rows)
    for (std::size_t i = 0; i < columns; ++i) widths.at(i) = std::max(widths.at(i), row.at(i).size());
  std::string text;
  for (std::size_t at = 0; at < rows.size(); ++at) {
    for (std::size_t i = 0; i < columns; ++i) {
      const auto& cell = rows[at].at(i);
      text += "  " + cell + std::string(i + 1 < columns ? widths.at(i) - cell.size() : 0, ' ');
    }
    text += "\n";
    if (at == 0) continue;
    for (const auto& remark : sessions[at - 1].remarks) text += "      " + remark + "\n";
  }
  return text;
}

// `file waiting=2`: 2 sessions have come and are not accepted yet.
std::string service_words(const std::string& text) {
  std::istringstream words(text);
  std::string name;
  std::string waiting;
  words >> name >> waiting;
  const auto count = waiting.substr(std::min(waiting.find('=') + 1, waiting.size()));
  return count.empty() || count == "0" ? name : name + " (" + count + " not accepted yet)";
}

// `eth0 up wired 1000Mbit/s ...`: there may be a thousand addresses behind it.
std::string interface_words(const std::string& text) {
  std::istringstream words(text);
  std::string name;
  std::string carrier;
  words >> name >> carrier;
  return name + " " + carrier;
}

// A line `  WHAT: A, B, C` of all values of a key; nothing when there are none.
std::string list(const char* what, const std::string& status, const char* key,
                 std::string (*words)(const std::string&)) {
  std::string text;
  for (const auto& value : values_of(status, key)) text += (text.empty() ? "" : ", ") + words(value);
  return text.empty() ? "" : std::string("  ") + what + ": " + text + "\n";
}

// A line `  KEY: VALUE` for each value of a key.
std::string each(const std::string& status, const char* key) {
  std::string text;
  for (const auto& value : values_of(status, key)) text += std::string("  ") + key + ": " + value + "\n";
  return text;
}

}  // namespace

std::vector<SessionLine> parse_sessions(const std::string& endpoint_status) {
  std::vector<SessionLine> sessions;
  std::istringstream lines(endpoint_status);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const auto key = line.substr(0, colon);
    const auto text = line.substr(colon + 2);
    if (key == "session") {
      sessions.push_back(parse_session(text));
    } else if (!sessions.empty() && text.starts_with(sessions.back().name + " ")) {
      add_remark(sessions.back(), key, text.substr(sessions.back().name.size() + 1));
    }
  }
  return sessions;
}

std::string host_text(const std::string& mount, const std::string& host_status) {
  return mount + ": domain " + value_of(host_status, "domain") + ", name server " +
         value_of(host_status, "name server") + "\n" + list("interfaces", host_status, "interface", interface_words) +
         each(host_status, "trouble") + each(host_status, "last error");
}

std::string endpoint_text(const std::string& endpoint_status) {
  const auto sessions = parse_sessions(endpoint_status);
  return value_of(endpoint_status, "endpoint") + ": " + value_of(endpoint_status, "registration") + "\n" +
         each(endpoint_status, "interface") + list("services", endpoint_status, "service", service_words) +
         each(endpoint_status, "last error") + (sessions.empty() ? "  no sessions\n" : session_table(sessions));
}

}  // namespace sessionfs::ctl
