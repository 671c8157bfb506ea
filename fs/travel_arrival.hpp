// An endpoint that is being loaded.
#pragma once

#include "fs/own_folder.hpp"
#include "fs/stick.hpp"
#include "fs/travel.hpp"

namespace sessionfs::fs {

struct Travel::Arrival {
  Asked asked{};
  std::filesystem::path folder;
  ReadRecord read;
  sns::KeyPair key;
  sns::Residence residence;  // the one that is claimed
  std::vector<sns::Address> former;
  sns::Certificate certificate;
  // Tells the former residence that its record is stored; see HandoffAnswer.
  std::function<void(MakeFolder make_folder, std::function<void(HandedDocuments)> done)> taken;
  std::unique_ptr<OwnFolder> documents;  // of the former residence
  int tries = 0;
  Done done;

  [[nodiscard]] const EndpointName& name() const { return read.record.name; }
};

}  // namespace sessionfs::fs
