// How a peer is reached: from which of our interfaces to which of its addresses, and in which order that is tried.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <span>
#include <vector>

#include "fs/link_watch.hpp"
#include "fs/transport/address_race.hpp"

namespace sessionfs::fs {

/// Whether `address` is on the link itself, with no router between.
[[nodiscard]] bool is_near(const Link& link, const boost::asio::ip::address& address);

/// The ways from each of `links` (the one to use first, then those to use without it) to each of `peer` that is of a
/// family which the link has an address of.
///
/// The first way is by the first link. Then the ways to neighbours come before those by a router: a neighbour is
/// reached at once, or is not there; what goes by a router may be lost without a word. Among both kinds the links take
/// turns, so that one on which all is lost does not keep the others waiting: each one's first way, each one's second
/// way, and so on, in the order of `peer`.
[[nodiscard]] std::vector<Way> ways_by(std::span<const Link* const> links,
                                       std::span<const boost::asio::ip::tcp::endpoint> peer);

}  // namespace sessionfs::fs
