# Mounts ~/session at login where no systemd does it, for users who want it: touch ~/.config/sessionfs/login
# That file is also the lock of logins at the same time.
_sessionfs_login=${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}/sessionfs/login
if [ -e "$_sessionfs_login" ] && [ ! -d /run/systemd/system ] && command -v sessionfs >/dev/null; then
  (
    flock -n 9 || exit 0
    cd -P "$HOME" # as the kernel's table of mounts has it
    session=$PWD/session
    # A mount that does not answer is left as it is; what a killed daemon has left answers with an error, and goes.
    if grep -qF " $(printf '%s' "$session" | sed 's/ /\\040/g') " /proc/self/mountinfo; then
      timeout 5 ls "$session/status" && exit 0
      [ $? -eq 2 ] && fusermount3 -u -z "$session" || exit 0
    fi
    mkdir -p "$session" && sessionfs "$session" 9<&-
  ) 9<"$_sessionfs_login" </dev/null >/dev/null 2>&1 || :
fi
unset _sessionfs_login
