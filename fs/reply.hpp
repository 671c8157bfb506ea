// Replies that give the bytes of a session away.
//
// A daemon that is killed right after the kernel has taken a reply cannot note any more that the bytes are read; one
// that notes it before may be killed before the kernel takes them. So the note is made by the very last step before
// the system call that hands them over: what lies between is a few instructions.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse3/fuse_lowlevel.h>

#include "engine/ring.hpp"
#include "fs/state_file.hpp"

namespace sessionfs::fs {

/// How libfuse reads requests and writes replies: one Mount a process, used by one thread.
extern const fuse_custom_io reply_io;

/// Answers a read with `bytes`, which lie at `offset` of the stream whose state `file` keeps. True when the kernel has
/// taken them; else the reader is gone, and they are given to nobody.
bool reply_stream_bytes(fuse_req_t req, const Parts& bytes, std::uint64_t offset, StateFile& file);

}  // namespace sessionfs::fs
