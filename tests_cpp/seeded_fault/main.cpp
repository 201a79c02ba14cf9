// Commits the fault that is asked for: none, overflow or race.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <thread>

extern "C" uint8_t seeded_read(size_t index);
extern "C" void seeded_count();

int main(int, char** arguments) {
  const std::string_view fault = arguments[1];
  const uint8_t byte = seeded_read(fault == "overflow" ? 16 : 15);

  const auto count = [] {
    for (int i = 0; i < 1000; ++i) seeded_count();
  };
  std::thread first(count);
  if (fault != "race") first.join();
  std::thread second(count);
  second.join();
  if (first.joinable()) first.join();
  return byte == 7 ? 0 : 1;
}
