#include "fs/sessionctl/travel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <sstream>
#include <system_error>

#include "fs/sessionctl/passphrase.hpp"
#include "fs/sessionctl/progress.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

// `1536 of 4096 bytes`: 1.5 KiB of 4.0 KiB. Other words are good as they are.
std::string progress_words(const std::string& told) {
  std::istringstream words(told);
  std::uint64_t done = 0;
  std::string of;
  std::uint64_t all = 0;
  std::string bytes;
  words >> done >> of >> all >> bytes;
  return words && of == "of" && bytes == "bytes" ? size_words(done) + " of " + size_words(all) : told;
}

// How far the daemon has come with what it saves or loads, as its status tells of `endpoint`; without one of any.
std::string told_progress(const Tree& tree, const std::string& key, const std::string& endpoint) {
  for (const auto& line : values_of(tree.host_status(), key)) {
    const auto name = line.substr(0, line.find(' '));
    auto words = progress_words(line.substr(std::min(line.size(), name.size() + 1)));
    if (endpoint.empty()) return words.insert(0, std::string(name).append(", "));
    if (name == endpoint) return words;
  }
  return "";
}

std::string absolute_path(const std::string& path) {
  std::error_code failed;
  const auto full = std::filesystem::absolute(path, failed);
  if (failed)
    throw Error(path + ": the folder in which this was called is gone (" + failed.message() + "); give the whole path",
                failed.value());
  return full.string();
}

}  // namespace

std::string fault_of_path(const std::string& path) {
  if (path.empty()) return "is empty";
  if (path.find('\n') != std::string::npos) return "holds a line end, which no command can";
  return "";
}

void load(const Tree& tree, const std::string& folder, const std::optional<std::string>& passphrase) {
  const std::string path = absolute_path(folder);
  const auto attempt = [&](const std::optional<std::string>& with) {
    const ProgressLine line("loading " + path, [&] { return told_progress(tree, "loading", ""); });
    tree.command("load " + path, std::nullopt, with);
  };
  try {
    attempt(passphrase);
  } catch (const Error& error) {
    if (error.number() != ENOKEY || passphrase) throw;
    if (!can_ask()) throw Error(std::string(error.what()) + ": add --passphrase", ENOKEY);
    attempt(ask_passphrase("passphrase of " + path, Asking::once));
  }
}

void save(const Tree& tree, const std::string& endpoint, const std::optional<std::string>& folder,
          const std::optional<std::string>& passphrase) {
  const std::string path = folder ? absolute_path(*folder) : "";
  const ProgressLine line("saving " + endpoint + " to " + (folder ? path : "its stick"),
                          [&] { return told_progress(tree, "saving", endpoint); });
  tree.command(folder ? "save " + path : "save", endpoint, passphrase);
}

void eject(const Tree& tree, const std::string& device) {
  const ProgressLine line("ejecting " + device, [&] {
    const auto saving = told_progress(tree, "saving", "");
    return saving.empty() ? "what was written to it is brought there" : saving;
  });
  tree.command("eject " + device);
}

}  // namespace sessionfs::ctl
