#include "fs/sessionctl/travel.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "fs/sessionctl/passphrase.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

// A line on the terminal for as long as something takes. Where standard error goes elsewhere: nothing.
class WaitingLine {
 public:
  explicit WaitingLine(const std::string& what) : shown_(::isatty(STDERR_FILENO) != 0) { show(what); }
  ~WaitingLine() {
    if (shown_) put("\r\x1b[K");
  }
  WaitingLine(const WaitingLine&) = delete;
  WaitingLine& operator=(const WaitingLine&) = delete;

 private:
  // One that is longer than a row could not be cleared.
  void show(const std::string& what) const {
    if (!shown_) return;
    std::string text = printable(what);
    winsize window{};
    const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0;
    const std::size_t room = known && window.ws_col > 8 ? window.ws_col - std::size_t{5} : 75;
    if (text.size() > room) {
      std::size_t end = room;
      while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) --end;  // no half of a character
      text.resize(end);
    }
    put(text + " ...");
  }
  static void put(std::string_view text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); }

  bool shown_;
};

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
    const WaitingLine line("loading " + path);
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
  const WaitingLine line("saving " + endpoint + " to " + (folder ? path : "its stick"));
  tree.command(folder ? "save " + path : "save", endpoint, passphrase);
}

void eject(const Tree& tree, const std::string& device) {
  const WaitingLine line("ejecting " + device);
  tree.command("eject " + device);
}

}  // namespace sessionfs::ctl
