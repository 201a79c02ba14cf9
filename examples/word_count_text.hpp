// The text that the word count reads: which files, and what a word is.
#ifndef SHF_EXAMPLES_WORD_COUNT_TEXT_HPP_
#define SHF_EXAMPLES_WORD_COUNT_TEXT_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace word_count {

constexpr size_t kWordBytesMax = 64;

// The whole file, or nothing when it cannot be read.
inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Calls visit(word) for each word: a run of 1 to 64 ASCII letters, in lower case. Longer runs are
// data rather than language and are left out. The order depends on the text alone, so that a
// number of words names a position in it.
template <typename Visit>
void ForEachWord(std::string_view text, Visit visit) {
  char word[kWordBytesMax];
  size_t length = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char letter = i < text.size() ? static_cast<char>(text[i] | 0x20) : ' ';
    if (letter >= 'a' && letter <= 'z') {
      if (length < kWordBytesMax) word[length] = letter;
      ++length;
      continue;
    }
    if (length > 0 && length <= kWordBytesMax) visit(std::string_view(word, length));
    length = 0;
  }
}

// Whether the first bytes look like text: compressed and binary files have control bytes early.
inline bool LooksLikeText(const std::string& path) {
  char head[512];
  std::ifstream file(path, std::ios::binary);
  file.read(head, sizeof(head));
  return file.gcount() > 0 && std::none_of(head, head + file.gcount(), [](char byte) {
           return static_cast<unsigned char>(byte) < '\t' || byte == '\x1f';
         });
}

// Text files below the folders, in an order that the seed decides, until they hold bytes_max.
// Symbolic links and what cannot be read are left out.
inline std::vector<std::string> CollectFiles(const std::vector<std::string>& folders,
                                             uint64_t bytes_max, uint64_t seed) {
  namespace fs = std::filesystem;
  std::vector<std::pair<std::string, uint64_t>> found;
  for (const std::string& folder : folders) {
    std::error_code error;
    fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied,
                                           error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      std::error_code ignored;
      if (entry->is_symlink(ignored) || !entry->is_regular_file(ignored)) continue;
      const uint64_t bytes = entry->file_size(ignored);
      if (!ignored && bytes > 0) found.emplace_back(entry->path().string(), bytes);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::shuffle(found.begin(), found.end(), std::mt19937_64(seed));

  std::vector<std::string> files;
  uint64_t bytes_taken = 0;
  for (auto& [path, bytes] : found) {
    if (bytes_taken + bytes > bytes_max || !LooksLikeText(path)) continue;
    bytes_taken += bytes;
    files.push_back(std::move(path));
  }
  return files;
}

}  // namespace word_count

#endif  // SHF_EXAMPLES_WORD_COUNT_TEXT_HPP_
