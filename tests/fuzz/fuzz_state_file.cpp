// The file of a session's state, as a crash or a failing disk may leave it.
//
// input: 2 bytes a place in the file, 1 byte a length, so many bytes to put there; again and again; a length of 0 cuts
// the file off at the place
#include "fs/state_file.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using fs::Disk;
using fs::StateFile;

constexpr std::size_t capacity_bytes = 4096;
constexpr std::size_t max_changes = 64;

SessionImage example() {
  SessionImage image;
  image.id = SessionId{{1, 2, 3}};
  image.local = EndpointName::parse("bob@work.test").value();
  image.peer = EndpointName::parse("alice@home.test").value();
  image.service = "file";
  image.file_name = "file~alice@home.test~1";
  image.generation = 1;
  return image;
}

// Whose syncing costs nothing.
const Disk& disk() {
  static const Disk memory{.sync = [](int) { return 0; }};
  return memory;
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A file in which two images have been stored.
const std::string& whole_file(const std::string& path) {
  static const std::string content = [&] {
    const auto file = StateFile::create(path, capacity_bytes, disk());
    SessionImage image = example();
    file->save(image);
    image.generation = 2;
    file->save(image);
    return content_of(path);
  }();
  return content;
}

void fuzz(Choices choices) {
  static const TemporaryFolder folder;
  static const std::string path = folder.path() + "/state";
  std::string content = whole_file(path);
  for (std::size_t i = 0; i < max_changes && !choices.empty(); ++i) {
    const std::size_t at = std::min<std::size_t>(choices.word(), content.size());
    const auto bytes = choices.field();
    if (bytes.empty()) content.resize(at);
    content.replace(at, std::min(bytes.size(), content.size() - at), text_of(bytes));
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;

  std::shared_ptr<StateFile> file;
  try {
    file = StateFile::open(path, disk());
  } catch (const std::runtime_error& error) {
    require(std::string_view(error.what()).find(path) != std::string_view::npos, "an error names the file");
    return;
  }
  const auto stored = file->load();
  const auto memories = file->memories();
  const std::size_t capacity = memories.send->bytes().size();
  require(capacity == memories.receive->bytes().size(), "both buffers have one size");
  if (stored) {
    const SessionImage& image = stored->image;
    require(image.sent.start < capacity && image.received.start < capacity, "an image fits to its buffers");
    const auto again = decode_session_image(encode(image), capacity);
    require(again && encode(*again) == encode(image), "decode(encode(x)) is x");
  }
  memories.send->bytes().front() = memories.receive->bytes().back() = std::byte{1};
  // A damaged slot is no obstacle to the next image.
  SessionImage next = example();
  next.generation = 3;
  file->save(next);
  const auto loaded = StateFile::open(path, disk())->load();
  require(loaded && encode(loaded->image) == encode(next), "what was saved last is loaded");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  fuzz(Choices(input_of(data, size)));
  return 0;
}
