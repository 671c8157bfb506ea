// What a host has when it is a member of a domain.
#pragma once

#include <string>
#include <vector>

#include "sns/identity.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

struct Membership {
  std::string domain;
  std::vector<std::string> servers;  // "HOST:PORT", "[IPv6]:PORT"; empty where the server is in this process
  Certificate ca;                    // the domain's authority
  KeyPair member_key;
  Certificate member_certificate;
  MemberId member_id = 0;
};

}  // namespace sessionfs::sns
