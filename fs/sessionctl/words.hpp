// What the daemon says in short, as people read it. What is not in the short form comes back as it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sessionfs::ctl {

/// `text` without anything that a terminal would obey: control characters become `\xNN`, but for those in `kept`.
std::string printable(std::string_view text, std::string_view kept = "");

/// `text` with what \NNN stands for, three octal digits: blanks and the like in a file of words.
std::string unescaped(std::string_view text);

/// Nothing when it is not all digits, or too large.
std::optional<std::uint64_t> number_of(std::string_view digits);

/// 1536: `1.5 KiB`. Rounded down; the unit says its base.
std::string size_words(std::uint64_t bytes);

/// 1536: `1.5K`, of at most five characters: for tables in which there is no room.
std::string short_size(std::uint64_t bytes);

/// 192: `3 min 12 s`. The two largest units.
std::string duration_words(std::uint64_t seconds);

/// The name of a session's state: READY_RESUME is `interrupted`.
std::string state_words(const std::string& name);

}  // namespace sessionfs::ctl
