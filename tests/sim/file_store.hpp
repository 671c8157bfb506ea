// Storage in real state files, and the disk that they are on: a power cut leaves of each what was synced, and of what
// was written since any part, in units of a sector.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "fs/state_file.hpp"
#include "tests/sim/memory_store.hpp"

namespace sessionfs::test {

class FileStore final : public Store {
 public:
  /// In a folder of its own below `parent`. `before_sync` is called when a state file asks for its sync: the power may
  /// be cut right there, by an exception.
  FileStore(const std::filesystem::path& parent, std::size_t capacity, fs::Durability durability,
            std::function<void()> before_sync);
  ~FileStore() override;
  FileStore(const FileStore&) = delete;
  FileStore& operator=(const FileStore&) = delete;

  Session::Memories make(const SessionKey& key) override;
  Session::Memories memories(const SessionKey& key) override;
  void save(const Session& session) override;
  void note_given(const SessionKey& key, std::uint64_t offset) override;
  [[nodiscard]] bool contains(const SessionKey& key) const override { return files_.contains(key); }
  [[nodiscard]] std::optional<SessionImage> load(const SessionKey& key) const override;
  void remove(const SessionKey& key) override;
  [[nodiscard]] std::vector<SessionKey> keys() const override;
  void crashed(bool power_cut, Random& random) override;
  [[nodiscard]] std::unique_ptr<Store> copy() const override;
  void set_full(bool full) override { *full_ = full; }

 private:
  struct File {
    std::string path;
    std::shared_ptr<fs::StateFile> open;
    std::shared_ptr<std::string> on_disk;  // what the last sync has brought there; null: not even its name
  };
  class Reserved;

  [[nodiscard]] fs::Disk disk_for(const std::shared_ptr<std::string>& on_disk, const std::string& path) const;
  static void cut(const File& file, Random& random);

  std::filesystem::path folder_;
  std::size_t capacity_;
  fs::Durability durability_;
  std::function<void()> before_sync_;
  fs::BootId boot_{std::byte{1}};
  std::shared_ptr<bool> full_ = std::make_shared<bool>(false);
  std::map<SessionKey, File> files_;
};

}  // namespace sessionfs::test
