// The files that are text: status, records, rules and commands, and the attributes of sessions.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "fs/mount.hpp"
#include "fs/operations.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::string_view list_of_host_commands =
    "join TOKEN      become a member of the domain that the token is for\n"
    "load DIR        let the endpoint in DIR, or all those in it, go on here\n"
    "eject DEVICE    save the endpoints on a stick to it, and unmount it\n"
    "passphrase TEXT in front of load, in the same write: opens what was saved with TEXT\n";

constexpr std::string_view list_of_endpoint_commands =
    "suspend [X]     pause session X, or all sessions, until they are resumed here\n"
    "resume [X]      continue session X, or all sessions\n"
    "finish X        write no more to session X; reading goes on\n"
    "abort X         drop session X at once, without delivering what it holds\n"
    "rebind [I]      move to interface I, or back to the one that the policy picks\n"
    "save [DIR]      let it leave: to DIR, or to the stick that it was loaded from\n"
    "passphrase TEXT in front of save, in the same write: only who knows TEXT can load it\n";

constexpr std::string_view attribute_names[] = {"user.session.state",    "user.session.peer",     "user.session.id",
                                                "user.session.sent",     "user.session.received", "user.session.acked",
                                                "user.session.interface"};

// What may be said to others and what the user does about it are the same word in two commands.
struct SessionCommand {
  std::string_view word;
  bool needs_name;
  void (Host::*act)(Session&, Time);
};
constexpr SessionCommand session_commands[] = {
    {"suspend", false, &Host::suspend},
    {"resume", false, &Host::resume},
    {"finish", true, &Host::finish},
    {"abort", true, &Host::abort},
};

// What a command is about, with its blanks.
std::string_view rest_behind(std::string_view line, std::string_view word) {
  auto rest = line.substr(static_cast<std::size_t>(word.data() - line.data()) + word.size());
  const auto begin = rest.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view() : rest.substr(begin);
}

// Answers with `value`, or with its length where the caller asked for that (size 0).
void reply_xattr(fuse_req_t req, std::string_view value, std::size_t size) {
  if (size == 0) {
    fuse_reply_xattr(req, value.size());
  } else if (size < value.size()) {
    fuse_reply_err(req, ERANGE);
  } else {
    fuse_reply_buf(req, value.data(), value.size());
  }
}

}  // namespace

std::string Operations::text_of(Inode inode) {
  switch (kind_of(inode)) {
    case Kind::root_ctl:
      return std::string(list_of_host_commands);
    case Kind::ctl:
      return std::string(list_of_endpoint_commands);
    case Kind::root_status:
      return host_status();
    case Kind::root_metrics:
      return metrics();
    case Kind::session: {
      const SessionNode* node = sessions_.find(serial_of(inode));
      return node != nullptr && node->session ? session_text(*node) : "";
    }
    case Kind::service: {
      const ServiceNode* node = services_.find(serial_of(inode));
      const Resident* owner = node != nullptr ? residents_.find(node->endpoint) : nullptr;
      return owner != nullptr ? "service: " + node->name + "." + owner->name.str() + "\n" : "";
    }
    default:
      break;
  }
  const Resident* resident = residents_.find(serial_of(inode));
  if (resident == nullptr) return "";
  switch (kind_of(inode)) {
    case Kind::status:
      return endpoint_status(*resident);
    case Kind::policy:
      return resident->policy;
    case Kind::access:
      return resident->access;
    default:
      return "";
  }
}

std::string Operations::session_text(const SessionNode& node) {
  const Session& session = *node.session;
  std::string text = "session: " + node.file_name + "\n";
  for (const auto name : attribute_names) {
    if (const auto value = session_attribute(node, name))
      text += std::string(name.substr(std::string_view("user.session.").size())) + ": " + *value + "\n";
  }
  text += "service: " + session.service() + "." + (session.creator() ? session.peer() : session.local()).str() + "\n";
  return text;
}

std::optional<std::string> Operations::session_attribute(const SessionNode& node, std::string_view name) {
  if (!node.session) return std::nullopt;
  const Session& session = *node.session;
  if (name == "user.session.state") return std::string(name_of(session.state()));
  if (name == "user.session.peer") return session.peer().str();
  if (name == "user.session.id") return session.id().hex();
  if (name == "user.session.sent") return std::to_string(session.send_buffer().written());
  if (name == "user.session.received") return std::to_string(session.recv_buffer().held());
  if (name == "user.session.acked") return std::to_string(session.send_buffer().acked());
  if (name == "user.session.interface") {
    const auto connection = runtime_.connection_of(session);
    if (!connection) return std::nullopt;
    return paths_.links().interface_of(connection->local_endpoint().address());
  }
  return std::nullopt;
}

// cp asks where a text's data and holes are: it is all data.
void Operations::lseek(fuse_req_t req, off_t offset, int whence, fuse_file_info* fi) {
  const auto& file = *reinterpret_cast<OpenFile*>(fi->fh);
  const auto size = static_cast<off_t>(file.shown().size());
  if (file.mode == OpenFile::Mode::stream) {
    fuse_reply_err(req, ESPIPE);
  } else if (offset < 0 || offset >= size) {
    fuse_reply_err(req, ENXIO);
  } else {
    fuse_reply_lseek(req, whence == SEEK_HOLE ? size : offset);
  }
}

int Operations::write_rules(OpenFile& file, std::string_view data, off_t offset) {
  Resident* resident = residents_.find(serial_of(file.inode));
  if (resident == nullptr || resident->stay != Stay::here) return ESTALE;
  const auto at = static_cast<std::size_t>(offset);
  if (at + data.size() > max_rules_bytes) return EFBIG;
  // What is written from the front replaces the rules; what is written behind them is added.
  std::string text = file.text.substr(0, at);
  text.resize(at, '\n');
  text += data;
  const bool policy = kind_of(file.inode) == Kind::policy;
  walkers_.changes(resident->serial);
  const int error = policy ? residents_.set_policy(*resident, text) : residents_.set_access(*resident, text);
  file.truncated = false;
  if (error == 0) file.text = std::move(text);
  return error;
}

void Operations::write_command(fuse_req_t req, OpenFile& file, std::string_view data) {
  const std::size_t size = data.size();
  if (kind_of(file.inode) == Kind::ctl) {
    if (Resident* resident = residents_.find(serial_of(file.inode))) return endpoint_commands(req, *resident, data);
    fuse_reply_err(req, ESTALE);
    return;
  }
  const std::string passphrase = take_passphrase(data);
  const auto line = next_line(data);
  const auto words = words_of(line);
  if (words.empty() && data.empty()) {
    fuse_reply_write(req, size);
    return;
  }
  const auto refuse = [&](std::string why) {
    last_error_ = std::move(why);
    fuse_reply_err(req, EINVAL);
  };
  if (words.empty() || !words_of(data).empty()) return refuse("ctl: write one command a time");
  if (words[0] == "load") return load(req, rest_behind(line, words[0]), passphrase, size);
  if (words[0] == "eject") return eject(req, rest_behind(line, words[0]), size);
  if (words[0] != "join") return refuse("ctl: " + std::string(words[0]) + " is no command; read ctl for the list");
  if (words.size() != 2) return refuse("join: needs one token, as printed by: snsd token");
  names_.join(std::string(words[1]),
              [this, done = tell_later(req, size, [this] { return &last_error_; })](int error, const std::string& why) {
                if (error == 0) residents_.keep_registered();
                done(error, error == 0 ? "" : why);
              });
}

void Operations::endpoint_commands(fuse_req_t req, Resident& resident, std::string_view data) {
  const std::size_t size = data.size();
  int error = 0;
  while (error == 0 && !data.empty()) {
    const std::string passphrase = take_passphrase(data);
    const auto line = next_line(data);
    const auto words = words_of(line);
    if (words.empty() || words[0] != "save") {
      error = session_command(resident, line);
    } else if (words_of(data).empty()) {
      return save(req, resident, rest_behind(line, words[0]), passphrase, size);
    } else {
      resident.last_error = "save: must be the last command";
      error = EINVAL;
    }
  }
  runtime_.pump();
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_write(req, size);
  }
}

int Operations::session_command(Resident& resident, std::string_view line) {
  const auto words = words_of(line);
  if (words.empty()) return 0;
  const auto refuse = [&](int error, std::string why) {
    resident.last_error = std::move(why);
    return error;
  };
  if (resident.stay != Stay::here)
    return refuse(ESTALE, std::string(words[0]) + ": " + std::string(describe(resident.stay)));
  walkers_.changes(resident.serial);
  if (words[0] == "rebind") {
    if (words.size() > 2) return refuse(EINVAL, "rebind: takes the name of one interface, or none");
    std::string why;
    const auto interface = words.size() == 2 ? std::optional<std::string>(words[1]) : std::nullopt;
    const int error = paths_.rebind(resident.name, interface, why);
    return error == 0 ? 0 : refuse(error, std::move(why));
  }
  const auto* command = std::ranges::find(session_commands, words[0], &SessionCommand::word);
  if (command == std::end(session_commands))
    return refuse(EINVAL, std::string(words[0]) + ": no such command; read ctl for the list");
  if (words.size() > 2 || (command->needs_name && words.size() != 2))
    return refuse(EINVAL, std::string(words[0]) + ": takes the name of one session");
  auto& sessions = runtime_.host().find_endpoint(resident.name)->sessions;
  std::vector<std::shared_ptr<Session>> chosen;
  if (words.size() == 2) {
    const auto dial = DialName::parse(words[1]);
    const auto found = sessions.find(dial ? dial->str() : std::string(words[1]));
    if (found == sessions.end())
      return refuse(ENOENT, std::string(words[0]) + ": there is no session " + std::string(words[1]) + " in sessions/");
    chosen.push_back(found->second);
  } else {
    for (const auto& [name, session] : sessions) chosen.push_back(session);
  }
  for (const auto& session : chosen) {
    if (command->act == &Host::abort) {
      part_with(resident, session, command->act);
      continue;
    }
    (runtime_.host().*command->act)(*session, runtime_.now());
    wake(session);
  }
  return 0;
}

void Operations::getxattr(fuse_req_t req, Inode inode, const char* name, std::size_t size) {
  SessionNode* node = kind_of(inode) == Kind::session ? sessions_.find(serial_of(inode)) : nullptr;
  const auto value = node != nullptr ? session_attribute(*node, name) : std::nullopt;
  if (!value) {
    fuse_reply_err(req, ENODATA);
  } else {
    reply_xattr(req, *value, size);
  }
}

void Operations::listxattr(fuse_req_t req, Inode inode, std::size_t size) {
  SessionNode* node = kind_of(inode) == Kind::session ? sessions_.find(serial_of(inode)) : nullptr;
  std::string names;
  if (node != nullptr) {
    for (const auto name : attribute_names)
      if (session_attribute(*node, name)) names += std::string(name) + '\0';
  }
  reply_xattr(req, names, size);
}

}  // namespace sessionfs::fs
