// What the daemon says in short, as people read it. What is not in the short form comes back as it is.
#pragma once

#include <string>
#include <string_view>

namespace sessionfs::ctl {

/// `text` without anything that a terminal would obey: control characters become `\xNN`, but for those in `kept`.
std::string printable(std::string_view text, std::string_view kept = "");

/// `1536`: 1.5 KiB. Rounded down; the unit says its base.
std::string size_words(const std::string& bytes);

/// `192s`: 3 min 12 s. The two largest units.
std::string duration_words(const std::string& seconds);

/// The name of a session's state: READY_RESUME is `interrupted`.
std::string state_words(const std::string& name);

}  // namespace sessionfs::ctl
