// A folder that is made where somebody else may have rights: nobody but this user can put something into it, and it is
// used by its descriptor, whatever becomes of its name.
#pragma once

#include <filesystem>

namespace sessionfs::fs {

class OwnFolder {
 public:
  /// Made as the first of `wanted`.1, `wanted`.2, ... that is not there, with mode 0700. Throws std::system_error.
  explicit OwnFolder(const std::filesystem::path& wanted);
  /// An existing one. Throws std::system_error.
  static OwnFolder open(const std::filesystem::path& path);
  OwnFolder(OwnFolder&& other) noexcept;
  OwnFolder& operator=(OwnFolder&&) = delete;
  ~OwnFolder();

  /// By which it was made or opened.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// By which it is reached as long as this lives, by the programs that this one starts, too.
  [[nodiscard]] std::filesystem::path place() const;

 private:
  OwnFolder(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace sessionfs::fs
