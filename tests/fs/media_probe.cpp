// Media alone, without the daemon: media_probe MOUNT_ROOT. Each line of its input is `eject WHAT` or `all`; it prints
//
//   came ROOT            went ROOT
//   eject ERRNO WHY      all DEVICE LABEL UUID TYPE ROOT STATE, a line for each medium, and `end`
//
// What is logged goes to its standard error. It ends with its input.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include "fs/media.hpp"

namespace asio = boost::asio;

int main(int count, char** arguments) try {
  if (count != 2) {
    std::cerr << "usage: media_probe MOUNT_ROOT\n";
    return 2;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_st("media_probe"));
  asio::io_context io;
  const auto print = [](const std::string& line) { std::cout << line << std::endl; };
  sessionfs::fs::Media media(io, arguments[1],
                             {.came = [&](const std::filesystem::path& root) { print("came " + root.string()); },
                              .went = [&](const std::filesystem::path& root) { print("went " + root.string()); }});
  asio::posix::stream_descriptor input(io, 0);
  asio::streambuf typed;
  const std::function<void()> read = [&] {
    asio::async_read_until(input, typed, '\n', [&](const boost::system::error_code& error, std::size_t) {
      if (error) return io.stop();
      std::string line;
      std::istream words(&typed);
      std::getline(words, line);
      if (line.starts_with("eject "))
        media.eject(line.substr(line.find(' ') + 1),
                    [&](int number, const std::string& why) { print("eject " + std::to_string(number) + " " + why); });
      if (line == "all") {
        for (const auto& each : media.text()) print("all " + each);
        print("end");
      }
      read();
    });
  };
  media.start();
  print("ready");
  read();
  io.run();
  return 0;
} catch (const std::exception& error) {
  std::cerr << "media_probe: " << error.what() << '\n';
  return 1;
}
