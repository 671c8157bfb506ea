#include "fs/sessionctl/top/screen.hpp"

#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <langinfo.h>
#include <termcap.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int escape_delay_ms = 25;

struct Appearance {
  Style style;
  attr_t attributes;
  short colour;  // of the text; none: the terminal's own
  attr_t without_colours;
};
constexpr short none = -1;
constexpr std::array<Appearance, 8> appearances{{{Style::plain, A_NORMAL, none, A_NORMAL},
                                                 {Style::strong, A_BOLD, none, A_BOLD},
                                                 {Style::faint, A_DIM, none, A_DIM},
                                                 {Style::good, A_NORMAL, COLOR_GREEN, A_NORMAL},
                                                 {Style::notice, A_BOLD, COLOR_YELLOW, A_BOLD},
                                                 {Style::bad, A_BOLD, COLOR_RED, A_BOLD | A_UNDERLINE},
                                                 {Style::heading, A_BOLD | A_UNDERLINE, none, A_BOLD | A_UNDERLINE},
                                                 {Style::selected, A_REVERSE, none, A_REVERSE}}};

struct SpecialKey {
  int code;
  char letter;
};
constexpr std::array<SpecialKey, 6> special_keys{
    {{KEY_DOWN, 'j'}, {KEY_UP, 'k'}, {KEY_NPAGE, ' '}, {KEY_PPAGE, 'b'}, {KEY_HOME, 'g'}, {KEY_END, 'G'}}};

// https://no-color.org
bool wants_colours() {
  const char* unwanted = std::getenv("NO_COLOR");
  return unwanted == nullptr || *unwanted == '\0';
}

}  // namespace

struct Screen::Terminal {
  SCREEN* screen = nullptr;
  bool has_colours = false;
  const Signs* signs = &ascii_signs;
};

Screen::Screen() : terminal_(std::make_unique<Terminal>()) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1)
    throw Error("top needs a terminal; for programs there is: sessionctl status --json");
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(::nl_langinfo(CODESET)) == "UTF-8") terminal_->signs = &utf8_signs;
  for (const char* stale : {"LINES", "COLUMNS"}) ::unsetenv(stale);  // they stay when the terminal becomes larger
  terminal_->screen = ::newterm(nullptr, stdout, stdin);
  const bool has_cursor = terminal_->screen != nullptr && ::tgetstr("cm", nullptr) != nullptr;
  if (!has_cursor) {
    if (terminal_->screen != nullptr) {
      ::endwin();
      ::delscreen(terminal_->screen);
    }
    const char* type = std::getenv("TERM");
    throw Error("top cannot be shown on a terminal of the type '" + std::string(type == nullptr ? "" : type) +
                "'; set TERM to what it really is");
  }
  ::set_escdelay(escape_delay_ms);
  ::cbreak();
  ::noecho();
  ::nonl();
  ::curs_set(0);
  ::keypad(stdscr, TRUE);
  ::nodelay(stdscr, TRUE);
  terminal_->has_colours = wants_colours() && ::has_colors() && ::start_color() == OK && ::use_default_colors() == OK;
  if (!terminal_->has_colours) return;
  for (const auto& each : appearances)
    if (each.colour != none) ::init_pair(each.colour, each.colour, none);
}

Screen::~Screen() {
  ::endwin();
  ::delscreen(terminal_->screen);
}

Size Screen::size() const {
  return {static_cast<std::size_t>(std::max(1, ::getmaxx(stdscr))),
          static_cast<std::size_t>(std::max(1, ::getmaxy(stdscr)))};
}

const Signs& Screen::signs() const { return *terminal_->signs; }

void Screen::show(const std::vector<Line>& lines) {
  ::erase();
  for (std::size_t row = 0; row < lines.size(); ++row) {
    ::move(static_cast<int>(row), 0);
    for (const auto& segment : lines[row]) {
      const auto* found = std::ranges::find(appearances, segment.style, &Appearance::style);
      if (terminal_->has_colours) {
        ::attr_set(found->attributes, found->colour == none ? short{0} : found->colour, nullptr);
      } else {
        ::attr_set(found->without_colours, 0, nullptr);
      }
      ::addstr(segment.text.c_str());
    }
  }
  ::refresh();
}

std::optional<char> Screen::key() {
  while (true) {
    const int code = ::getch();
    if (code == ERR) return std::nullopt;
    if (code > 0 && code < 0x80) return static_cast<char>(code);
    if (const auto* found = std::ranges::find(special_keys, code, &SpecialKey::code); found != special_keys.end())
      return found->letter;
  }
}

}  // namespace sessionfs::ctl
