#include "fs/config.hpp"

#include <pwd.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "sns/join_token.hpp"

namespace sessionfs::fs {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const toml::source_position& at, const std::string& what) {
  throw ConfigError(file.string() + ":" + std::to_string(at.line) + ": " + one_line(what));
}

[[noreturn]] void fail(const std::filesystem::path& file, const toml::node& node, const std::string& what) {
  fail(file, node.source().begin, what);
}

std::string text_of(const std::filesystem::path& file, const toml::key& key, const toml::node& node) {
  const auto text = node.value<std::string>();
  if (!text) fail(file, node, std::string(key.str()) + " must be a text in quotes");
  return *text;
}

std::optional<std::size_t> parse_size(std::string_view text) {
  std::size_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const std::size_t factor = unit.empty() ? 1 : unit == "KiB" ? 1024 : unit == "MiB" ? 1024 * 1024 : 0;
  if (factor == 0 || number > max_buffer_bytes / factor) return std::nullopt;
  return number * factor;
}

std::size_t buffer_of(const std::filesystem::path& file, const toml::key& key, const toml::node& node) {
  constexpr std::size_t page_bytes = 4096;
  const auto size = parse_size(text_of(file, key, node));
  if (!size || *size < min_buffer_bytes) fail(file, node, "buffer must be a size from 4KiB to 256MiB, like \"1MiB\"");
  return (*size + page_bytes - 1) / page_bytes * page_bytes;
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  using std::chrono::milliseconds;
  constexpr milliseconds most = max_duration;
  milliseconds::rep number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return std::nullopt;
  const std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const milliseconds::rep factor = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "min" ? 60'000 : 0;
  if (factor == 0 || number > most.count() / factor) return std::nullopt;
  return milliseconds(number * factor);
}

std::chrono::milliseconds duration_of(const std::filesystem::path& file, const toml::key& key, const toml::node& node,
                                      std::chrono::milliseconds least, const char* range) {
  const auto duration = parse_duration(text_of(file, key, node));
  if (!duration || *duration < least)
    fail(file, node, std::string(key.str()) + " must be a time from " + range + " (units: ms, s, min)");
  return *duration;
}

HostPort address_of(const std::filesystem::path& file, const toml::key& key, const toml::node& node,
                    std::uint16_t port) {
  const auto address = HostPort::parse(text_of(file, key, node), port);
  if (!address) fail(file, node, std::string(key.str()) + " must be an address and a port, like \"[::]:4700\"");
  return *address;
}

void read_sns(const std::filesystem::path& file, const toml::node& node, Config& config) {
  const toml::table* table = node.as_table();
  if (table == nullptr) fail(file, node, "sns must be a table of domains and addresses");
  for (const auto& [key, value] : *table) {
    const auto domain = parse_domain(key.str());
    if (!domain) fail(file, value, std::string(key.str()) + " in [sns] is no domain");
    config.sns[*domain] = address_of(file, key, value, default_sns_port);
  }
}

void read_key(const std::filesystem::path& file, const toml::key& key, const toml::node& node, Config& config) {
  const std::string_view name = key.str();
  if (name == "domain") {
    const auto domain = parse_domain(text_of(file, key, node));
    if (!domain) fail(file, node, "domain is no DNS name");
    config.domain = *domain;
  } else if (name == "endpoint") {
    const auto endpoint = EndpointName::parse(text_of(file, key, node));
    if (!endpoint) fail(file, node, "endpoint must be a name like \"laptop@verkstad.net\"");
    config.endpoint = *endpoint;
  } else if (name == "listen") {
    config.listen = address_of(file, key, node, default_port);
    config.listen_given = true;
  } else if (name == "buffer") {
    config.buffer_bytes = buffer_of(file, key, node);
  } else if (name == "durability") {
    const auto text = text_of(file, key, node);
    if (text != "process" && text != "power") fail(file, node, "durability must be \"process\" or \"power\"");
    config.durability = text == "power" ? Durability::power : Durability::process;
  } else if (name == "save_grace") {
    config.save_grace = duration_of(file, key, node, {}, "0s to 60min, like \"10s\"");
  } else if (name == "silence_limit") {
    config.silence_limits.unacked = duration_of(file, key, node, least_silence_limit, "500ms to 60min, like \"3s\"");
  } else if (name == "idle_silence_limit") {
    config.silence_limits.idle =
        duration_of(file, key, node, std::chrono::duration_cast<std::chrono::milliseconds>(least_idle_silence_limit),
                    "10s to 60min, like \"15s\"");
  } else if (name == "sns") {
    read_sns(file, node, config);
  } else {
    fail(file, node, std::string(name) + " is no key of the configuration");
  }
}

// What a key alone does not show.
void check_together(const std::filesystem::path& file, const toml::table& table, const Config& config) {
  const toml::node* limit = table.get("silence_limit");
  if (limit != nullptr && config.silence_limits.unacked > config.silence_limits.idle)
    fail(file, *limit, "silence_limit is longer than idle_silence_limit");
  const toml::node* endpoint = table.get("endpoint");
  if (endpoint != nullptr && config.endpoint.domain() != config.domain)
    fail(file, *endpoint, "endpoint " + config.endpoint.str() + " is not of the domain " + config.domain);
}

// A host name that is no valid object of an endpoint's name is made one.
EndpointName host_endpoint(const std::string& domain) {
  char name[max_object_bytes + 1] = {};
  (void)gethostname(name, sizeof(name) - 1);
  std::string object(name);
  std::ranges::replace_if(
      object, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '-');
  while (!object.empty() && object.back() == '-') object.pop_back();
  while (!object.empty() && object.front() == '-') object.erase(0, 1);
  if (auto endpoint = EndpointName::parse(object + "@" + domain)) return *endpoint;
  return *EndpointName::parse("host@" + domain);
}

std::filesystem::path user_folder(const char* variable, const char* below_home) {
  if (const char* folder = std::getenv(variable); folder != nullptr && *folder == '/')
    return std::filesystem::path(folder) / "sessionfs";
  const char* home = std::getenv("HOME");
  // mount(8) takes it away.
  const passwd* user = home == nullptr ? ::getpwuid(::geteuid()) : nullptr;
  if (user != nullptr) home = user->pw_dir;
  return std::filesystem::path(home != nullptr ? home : "/") / below_home / "sessionfs";
}

}  // namespace

std::optional<HostPort> HostPort::parse(std::string_view text, std::uint16_t fallback) {
  const auto address = sns::parse_server(text, fallback);
  if (!address) return std::nullopt;
  return HostPort{address->host, address->port};
}

std::string HostPort::str() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Config Config::load(const std::optional<std::filesystem::path>& file) {
  Config config;
  const auto path = file.value_or(default_config_file());
  if (file || std::filesystem::exists(path)) {
    try {
      const toml::table table = toml::parse_file(path.string());
      for (const auto& [key, value] : table) read_key(path, key, value, config);
      check_together(path, table, config);
    } catch (const toml::parse_error& error) {
      fail(path, error.source().begin, std::string(error.description()));
    }
  }
  config.apps_folder = std::filesystem::absolute(path).lexically_normal().parent_path() / apps_name;
  if (config.endpoint.empty()) config.endpoint = host_endpoint(config.domain);
  return config;
}

std::filesystem::path default_config_file() {
  if (geteuid() == 0) return "/etc/sessionfs/config.toml";
  return user_folder("XDG_CONFIG_HOME", ".config") / "config.toml";
}

std::filesystem::path default_state_folder() {
  return geteuid() == 0 ? "/var/lib/sessionfs" : user_folder("XDG_STATE_HOME", ".local/state");
}

}  // namespace sessionfs::fs
