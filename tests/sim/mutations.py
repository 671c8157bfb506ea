#!/usr/bin/env python3
"""Bugs put into the engine on purpose: the simulator must find each of them.

  mutations.py --list                      the names
  mutations.py --source NAME               the source that has the bug, as a path in the project
  mutations.py --write NAME ROOT OUT       writes that source, with the bug, to OUT
  mutations.py --prove NAME SIM [SEEDS]    runs the simulator that was built with the bug; 0 when it finds it
"""

import collections
import os
import subprocess
import sys

Mutation = collections.namedtuple("Mutation", "name source old new")

DEFAULT_SEEDS = 10000
TIME_LIMIT_S = 300

# In `old` every text stands exactly once in its source, so that a change of the engine cannot switch a proof off.
MUTATIONS = [
    # What a sender keeps and sends again.
    Mutation("no-rewind", "engine/send_buffer.cpp", "  sent_ = held;\n  limit_", "  limit_"),
    Mutation("frees-what-was-sent", "engine/send_buffer.cpp", "  if (held > acked_) {", "  held = sent_;\n  if (held > acked_) {"),
    Mutation("sends-beyond-the-limit", "engine/send_buffer.cpp", "const std::uint64_t end = std::min(written(), limit_);",
             "const std::uint64_t end = written();"),
    Mutation("end-not-said-again", "engine/session.cpp", "end_due_ = end_.has_value() && !end_acked_;", "end_due_ = false;"),
    # What is stored before it is said.
    Mutation("sends-before-it-stores", "engine/host.cpp", "  if (auto store = poll_store()) return store;\n  if (actions_.empty()) return std::nullopt;\n",
             "  if (actions_.empty()) return poll_store();\n"),
    Mutation("written-is-not-stored", "engine/session_stream.cpp", "if (taken > 0) store_due_ = true;", ""),
    Mutation("stores-less-than-it-holds", "engine/session.cpp", "image.received.held = recv_.received();",
             "image.received.held = recv_.held();"),
    Mutation("image-before-its-bytes", "fs/state_file.cpp", "  if (safe) sync();\n  const auto bytes", "  const auto bytes"),
    Mutation("image-not-on-the-disk", "fs/state_file.cpp", "  if (!safe) return;\n  sync();", "  if (!safe) return;"),
    Mutation("forgets-what-was-given", "fs/state_file.cpp", "  received.read = given;", ""),
    # Which connection counts.
    Mutation("late-resume-counts", "engine/session_messages.cpp", "message.attempt <= peer_attempt_) return deny(",
             "false) return deny("),
    Mutation("attempts-do-not-grow", "engine/session.cpp", "      ++attempt_;\n", ""),
    Mutation("former-residence-counts", "engine/session_messages.cpp",
             "if (message.generation < peer_generation_) return deny(ResumeDenial::superseded);", ""),
    Mutation("old-channel-stays", "engine/session.cpp", "  drop_attempt();\n  drop_channel(false);\n  open_channel(input_conn_, now);",
             "  drop_attempt();\n  open_channel(input_conn_, now);"),
    Mutation("checkpoint-while-moving", "engine/session_stream.cpp", "} else if (state_ != State::moving && std::exchange(checkpoint_due_, false)) {",
             "} else if (std::exchange(checkpoint_due_, false)) {"),
    # Copies that go on.
    Mutation("every-source-is-ours", "engine/session_messages.cpp", "if (loaded_.marks.empty() || source == generation_) return",
             "if (source < UINT64_MAX) return"),
    Mutation("one-mark-for-all-loads", "engine/image.cpp", "if (marks.empty() || marks.back().generation != generation) marks.",
             "if (marks.empty()) marks."),
    Mutation("an-answer-settles", "engine/session.cpp", "  channel_accepted_ = true;\n  rewind();",
             "  channel_accepted_ = true;\n  go_on_with_channel();\n  rewind();"),
    Mutation("source-is-not-noted", "engine/session_stream.cpp", "  last_input_ = now;\n  go_on_with_channel();\n", "  last_input_ = now;\n"),
    # Waiting, and the end.
    Mutation("no-retry", "engine/session.cpp", "void Session::schedule_retry(Time at) { retry_at_ = at; }",
             "void Session::schedule_retry(Time) {}"),
    Mutation("no-answer-is-waited-for", "engine/session.cpp", "if (state_ != State::connecting) attempt_deadline_ = now + dial_timeout;", ""),
    Mutation("silence-is-not-noticed", "engine/session_stream.cpp",
             "  return unacked() ? std::max(last_input_, unacked_since_) + unacked_limit_ : last_input_ + silence_limits_.idle;",
             "  return Time::max();"),
    Mutation("no-tombstone", "engine/host.cpp", "session.failure() == Failure::none) {\n    auto& tombstones",
             "false) {\n    auto& tombstones"),
    Mutation("complete-too-early", "engine/session_stream.cpp", "if (end_acked_ && peer_end_ && recv_.held() == *peer_end_)",
             "if (end_acked_ && peer_end_)"),
    Mutation("timer-not-moved", "engine/host.cpp", "if (!next || (slot.timer && *slot.timer <= *next)) return;",
             "if (!next || slot.timer) return;"),
]


def named(name):
    for mutation in MUTATIONS:
        if mutation.name == name:
            return mutation
    sys.exit(f"mutations.py: there is no {name}")


def write(mutation, root, out):
    with open(os.path.join(root, mutation.source), encoding="utf-8") as file:
        text = file.read()
    if text.count(mutation.old) != 1:
        sys.exit(f"mutations.py: {mutation.name}: {mutation.source} has its text {text.count(mutation.old)} times")
    with open(out, "w", encoding="utf-8") as file:
        file.write(text.replace(mutation.old, mutation.new))


def prove(mutation, sim, seeds):
    # A bug may also show as a sanitizer's or the library's abort, or as a world that never ends.
    try:
        done = subprocess.run([sim, "--seeds", str(seeds)], capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"{mutation.name}: caught: a world does not end")
        return 0
    if done.returncode == 0:
        print(f"{mutation.name}: NOT CAUGHT in {seeds} worlds")
        return 1
    print(f"{mutation.name}: caught")
    print("\n".join(done.stdout.splitlines()[:8]), done.stderr[-500:])
    return 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        print("\n".join(mutation.name for mutation in MUTATIONS))
    elif len(arguments) == 2 and arguments[0] == "--source":
        print(named(arguments[1]).source)
    elif len(arguments) == 4 and arguments[0] == "--write":
        write(named(arguments[1]), arguments[2], arguments[3])
    elif len(arguments) in (3, 4) and arguments[0] == "--prove":
        sys.exit(prove(named(arguments[1]), arguments[2], int(arguments[3]) if len(arguments) == 4 else DEFAULT_SEEDS))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
