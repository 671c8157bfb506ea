// What a service manager such as systemd is told (sd_notify(3)), without its library.
#pragma once

namespace sessionfs::sns {

/// Tells the service manager by which this program was started, if any, that it is ready. What it starts from now on is
/// none of the service manager's business. Nothing fails: one that hears nothing gives up waiting and says so itself.
void tell_ready();

}  // namespace sessionfs::sns
