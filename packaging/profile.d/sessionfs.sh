# Mounts ~/session at login where no systemd does it, for users who want it: touch ~/.config/sessionfs/login
# That file is also the lock of logins at the same time. A mount that is there, alive or not, is left as it is.
_sessionfs_login=${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}/sessionfs/login
if [ -e "$_sessionfs_login" ] && [ ! -d /run/systemd/system ] && command -v sessionfs >/dev/null; then
  (
    flock -n 9 || exit 0
    if grep -qF " $HOME/session " /proc/self/mountinfo; then exit 0; fi
    mkdir -p "$HOME/session" && sessionfs "$HOME/session" 9<&-
  ) 9<"$_sessionfs_login" </dev/null >/dev/null 2>&1 || :
fi
unset _sessionfs_login
