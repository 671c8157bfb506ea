#include "tests/sim/file_store.hpp"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace sessionfs::test {
namespace {

constexpr std::size_t sector_bytes = 512;  // written whole, or not at all

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::filesystem::path made_folder(const std::filesystem::path& parent) {
  std::string path = (parent / "sim-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error(path + " cannot be made");
  return path;
}

}  // namespace

// The memory of a state file, which has room only as long as the disk has.
class FileStore::Reserved final : public Memory {
 public:
  Reserved(std::unique_ptr<Memory> memory, std::shared_ptr<bool> full)
      : memory_(std::move(memory)), full_(std::move(full)) {}

  std::span<std::byte> bytes() noexcept override { return memory_->bytes(); }
  bool reserve(std::size_t count) noexcept override { return !*full_ && memory_->reserve(count); }
  void release() noexcept override { memory_->release(); }

 private:
  std::unique_ptr<Memory> memory_;
  std::shared_ptr<bool> full_;
};

FileStore::FileStore(const std::filesystem::path& parent, std::size_t capacity, fs::Durability durability,
                     std::function<void()> before_sync)
    : folder_(made_folder(parent)),
      capacity_(std::max<std::size_t>(capacity, 4096)),
      durability_(durability),
      before_sync_(std::move(before_sync)) {}

FileStore::~FileStore() {
  files_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

fs::Disk FileStore::disk_for(const std::shared_ptr<std::string>& on_disk, const std::string& path) const {
  return {.durability = durability_, .boot = boot_, .sync = [this, on_disk, path](int) {
            before_sync_();
            *on_disk = content_of(path);
            return 0;
          }};
}

Session::Memories FileStore::make(const SessionKey& key) {
  File file;
  file.path = (folder_ / (key.local.str() + key.id.hex() + (key.creator ? "-out" : "-in"))).string();
  file.on_disk = std::make_shared<std::string>();
  ::unlink(file.path.c_str());
  file.open = fs::StateFile::create(file.path, capacity_, disk_for(file.on_disk, file.path));
  files_[key] = file;
  return memories(key);
}

Session::Memories FileStore::memories(const SessionKey& key) {
  auto memories = files_.at(key).open->memories();
  return {std::make_unique<Reserved>(std::move(memories.send), full_),
          std::make_unique<Reserved>(std::move(memories.receive), full_)};
}

void FileStore::save(const Session& session) { files_.at(key_of(session)).open->save(session.image()); }

void FileStore::note_given(const SessionKey& key, std::uint64_t offset) { files_.at(key).open->note_given(offset); }

std::optional<SessionImage> FileStore::load(const SessionKey& key) const {
  const auto found = files_.find(key);
  if (found == files_.end()) return std::nullopt;
  const auto stored = found->second.open->load();
  return stored ? std::optional(stored->image) : std::nullopt;
}

void FileStore::remove(const SessionKey& key) {
  const auto found = files_.find(key);
  if (found == files_.end()) return;
  found->second.open->remove();
  files_.erase(found);
}

std::vector<SessionKey> FileStore::keys() const {
  std::vector<SessionKey> keys;
  for (const auto& [key, file] : files_) keys.push_back(key);
  return keys;
}

// Of every sector that differs from what was synced last, the disk has the old or the new content.
void FileStore::cut(const File& file, Random& random) {
  std::string now = content_of(file.path);
  const std::string& before = *file.on_disk;
  for (std::size_t at = 0; at < now.size() && at < before.size(); at += sector_bytes)
    if (random.chance(50)) now.replace(at, sector_bytes, before, at, sector_bytes);
  std::ofstream(file.path, std::ios::binary | std::ios::trunc) << now;
}

void FileStore::crashed(bool power_cut, Random& random) {
  if (power_cut) boot_[1] = static_cast<std::byte>(std::to_integer<int>(boot_[1]) + 1);
  for (auto entry = files_.begin(); entry != files_.end();) {
    File& file = entry->second;
    const bool stored = file.open->load().has_value();
    file.open.reset();
    const bool lost = power_cut && file.on_disk->empty() && random.chance(50);
    if (power_cut && !file.on_disk->empty()) cut(file, random);
    if (stored && !lost) {
      try {
        file.open = fs::StateFile::open(file.path, disk_for(file.on_disk, file.path));
      } catch (const fs::Damaged&) {
        file.open = nullptr;
      }
    }
    if (file.open && file.open->load()) {
      ++entry;
    } else {
      ::unlink(file.path.c_str());
      entry = files_.erase(entry);
    }
  }
}

std::unique_ptr<Store> FileStore::copy() const {
  auto other = std::make_unique<FileStore>(folder_.parent_path(), capacity_, durability_, before_sync_);
  other->boot_ = boot_;
  for (const auto& [key, file] : files_) {
    File copied;
    copied.path = (other->folder_ / std::filesystem::path(file.path).filename()).string();
    std::filesystem::copy_file(file.path, copied.path);
    copied.on_disk = std::make_shared<std::string>(content_of(copied.path));
    copied.open = fs::StateFile::open(copied.path, other->disk_for(copied.on_disk, copied.path));
    if (copied.open->load()) other->files_[key] = copied;
  }
  return other;
}

}  // namespace sessionfs::test
