// `metrics`: what a monitoring system reads, in Prometheus' text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/operations.hpp"

namespace sessionfs::fs {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return text;
}

// One metric: all its samples stand together.
class Metric {
 public:
  Metric(std::string name, const char* type, const char* help) : name_(std::move(name)) {
    text_ = "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " " + type + "\n";
  }
  void add(const Labels& labels, std::uint64_t value) {
    text_ += name_;
    const char* before = "{";
    for (const auto& [label, content] : labels) {
      text_.append(before).append(label).append("=\"").append(escaped(content)).append("\"");
      before = ",";
    }
    text_ += (labels.empty() ? " " : "} ") + std::to_string(value) + "\n";
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace

std::string Operations::host_metrics() {
  Metric info("sessionfs_info", "gauge", "The daemon; the value is always 1.");
  info.add({{"version", SESSIONFS_VERSION}, {"domain", names_.domain()}}, 1);
  Metric connections("sessionfs_connections", "gauge", "Connections to other hosts.");
  connections.add({}, runtime_.connections());
  Metric made("sessionfs_connections_made_total", "counter", "Connections to other hosts that came to stand.");
  made.add({}, runtime_.connections_made());
  Metric lost("sessionfs_connections_lost_total", "counter", "Connections of them that broke, or that the peer ended.");
  lost.add({}, runtime_.connections_lost());
  Metric interfaces("sessionfs_interface_up", "gauge", "1: the interface has a carrier.");
  for (const auto& interface : paths_.links().interfaces())
    interfaces.add({{"interface", interface.name}}, interface.carrier ? 1 : 0);
  Metric transitions("sessionfs_transitions_total", "counter", "Transitions of sessions, by number.");
  for (const auto& [number, count] : transition_counts_)
    transitions.add({{"transition", "T" + std::to_string(number)}}, count);
  return info.text() + connections.text() + made.text() + lost.text() + interfaces.text() + transitions.text();
}

std::string Operations::metrics() {
  Metric endpoints("sessionfs_endpoint_up", "gauge", "Endpoints on this host; 0: on its way to or from it.");
  Metric services("sessionfs_service_waiting", "gauge", "Sessions that wait to be accepted.");
  Metric states("sessionfs_sessions", "gauge", "Sessions in each state.");
  Metric written("sessionfs_session_written_bytes_total", "counter", "Bytes written here.");
  Metric acked("sessionfs_session_acked_bytes_total", "counter", "Bytes of them that the peer holds.");
  Metric received("sessionfs_session_received_bytes_total", "counter",
                  "Bytes of the peer that are held here, or were.");
  Metric read("sessionfs_session_read_bytes_total", "counter", "Bytes of them that were read here.");
  Metric resent("sessionfs_session_resent_bytes_total", "counter",
                "Bytes that were sent again over a new connection, since the daemon's start.");
  Metric checkpoints("sessionfs_session_checkpoints_total", "counter",
                     "Checkpoints that were sent, since the daemon's start; one every 5 s without data.");
  Metric flowing("sessionfs_session_up", "gauge", "1: the session has a connection over which bytes flow.");
  std::map<std::string_view, std::uint64_t> counts;
  for (const auto& [name, resident] : residents_.all()) {
    endpoints.add({{"endpoint", name.str()}}, resident.stay == Stay::here ? 1 : 0);
    const Endpoint* endpoint = runtime_.host().find_endpoint(name);
    for (const auto& [service, listening] : endpoint->services)
      services.add({{"endpoint", name.str()}, {"service", service}}, listening.backlog.size());
    for (const auto& [file_name, session] : endpoint->sessions) {
      ++counts[name_of(session->state())];
      if (session->state() == State::connecting || !session->accepted()) continue;
      const Labels labels{{"endpoint", name.str()},
                          {"session", file_name},
                          {"peer", session->peer().str()},
                          {"service", session->service()}};
      written.add(labels, session->send_buffer().written());
      acked.add(labels, session->send_buffer().acked());
      received.add(labels, session->recv_buffer().held());
      read.add(labels, session->recv_buffer().read());
      resent.add(labels, session->send_buffer().resent());
      checkpoints.add(labels, session->checkpoints());
      flowing.add(labels, session->flows() ? 1 : 0);
    }
  }
  for (const auto& [state, count] : counts) states.add({{"state", std::string(state)}}, count);
  std::string text = host_metrics();
  for (const auto* metric :
       {&endpoints, &services, &states, &written, &acked, &received, &read, &resent, &checkpoints, &flowing})
    text += metric->text();
  return text;
}

}  // namespace sessionfs::fs
