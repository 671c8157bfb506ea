// The simulator: random worlds, one for each seed, until one goes wrong.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <optional>

#include "tests/sim/storm.hpp"

namespace {

using Clock = std::chrono::steady_clock;

void print(const sessionfs::test::Tally& tally, Clock::time_point start) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::cout << tally.worlds << " worlds in " << seconds << " s: " << tally.steps << " steps, " << tally.bytes
            << " bytes read, " << tally.cuts << " broken connections, " << tally.suspends << " suspends, "
            << tally.crashes << " crashes, " << tally.power_cuts << " power cuts, " << tally.addresses
            << " changes of addresses, " << tally.better_links << " better links, " << tally.moves << " moves, "
            << tally.returns << " returns, " << tally.copies << " loaded copies, " << tally.travels << " travels, "
            << tally.handoffs << " handoffs, " << tally.stale << " stale records" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs sessions of the real engine in simulated worlds in which everything fails.", "sim");
  std::optional<std::uint64_t> one;
  std::uint64_t first = 1;
  std::uint64_t count = 5000;
  std::optional<double> hours;
  app.add_option("--seed", one, "this world alone, with all that happens in it");
  app.add_option("--from", first, "the first seed (default: 1)");
  app.add_option("--seeds", count, "how many (default: 5000)")->envname("SESSIONFS_SEEDS");
  app.add_option("--hours", hours, "as many as there is time for");
  CLI11_PARSE(app, argc, argv);

  const auto start = Clock::now();
  sessionfs::test::Tally tally;
  if (one) {
    sessionfs::test::run_world(*one, true, tally);
    return ::testing::Test::HasFailure() ? 1 : 0;
  }
  const auto goes_on = [&](std::uint64_t seed) {
    if (hours) return std::chrono::duration<double, std::ratio<3600>>(Clock::now() - start).count() < *hours;
    return seed < first + count;
  };
  for (std::uint64_t seed = first; goes_on(seed); ++seed) {
    sessionfs::test::run_world(seed, false, tally);
    if (!::testing::Test::HasFailure()) continue;
    std::cout << "sim: the world of seed " << seed << " goes wrong; see all of it with: sim --seed " << seed
              << std::endl;
    return 1;
  }
  print(tally, start);
}
