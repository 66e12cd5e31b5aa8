#include "sandbox/network/world/pack.h"

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/network/tls/certificates.h"

namespace gyges::network {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

Status read_tree(const fs::path& path, const std::string& prefix, const std::string& place,
                 std::size_t& total, std::map<std::string, std::string>& files) {
  std::error_code error;
  fs::file_status status = fs::symlink_status(path, error);
  auto add = [&](const fs::path& file, const std::string& name) -> Status {
    GYGES_TRY(std::string bytes, read_file(file));
    total += bytes.size();
    if (total > most_site_bytes || files.size() >= most_site_files)
      return fail("read site files", place, "there are more than 256 MiB or 20000 files",
                  "serve fewer");
    files[prefix + name] = std::move(bytes);
    return ok();
  };
  if (fs::is_regular_file(status)) return add(path, path.filename().string());
  if (!fs::is_directory(status))
    return fail("read site files", place, printable(path.string()) + " is no file or directory",
                "name one that exists, relative to the persona's file");
  for (auto at = fs::recursive_directory_iterator(path, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (!fs::is_regular_file(at->symlink_status(error))) continue;
    GYGES_CHECK(add(at->path(), at->path().lexically_relative(path).generic_string()));
  }
  if (error) return fail_errno("read site files", path.string(), error.value());
  return ok();
}

}  // namespace

Result<std::map<std::string, std::string>> read_site_files(const json& internet,
                                                           const fs::path& directory,
                                                           std::string_view source) {
  std::map<std::string, std::string> files;
  std::size_t total = 0;
  const json sites = internet.value("sites", json::array());
  for (std::size_t site = 0; site < sites.size(); ++site) {
    const json trees = sites[site].value("files", json::array());
    for (std::size_t tree = 0; tree < trees.size(); ++tree) {
      std::string place = std::string(source) + " at /internet/sites/" + std::to_string(site) +
                          "/files/" + std::to_string(tree);
      if (directory.empty())
        return fail("read site files", place, "\"files\" cannot be used in a shipped persona",
                    "use \"pages\"");
      GYGES_CHECK(read_tree(directory / trees[tree].at("from").get<std::string>(),
                            std::to_string(site) + "/" + std::to_string(tree) + "/", place, total,
                            files));
    }
  }
  return files;
}

Result<PackedWorld> pack_world(const PackInput& input) {
  // What the gateway would refuse is refused here, with its place.
  GYGES_TRY(WorldData checked, world_from_json(input.internet, input.files, "persona"));
  (void)checked;
  const json authority = input.internet.value("certificate_authority", json::object());
  std::string organisation = authority.value("organisation", input.company);
  std::string name = authority.value("name", organisation + " Root CA");
  GYGES_TRY(CertificateKey key, make_authority(input.seed, input.created_at, organisation, name));
  PackedWorld packed;
  GYGES_TRY(packed.certificate_hash, subject_hash(key.certificate_pem));
  json files = json::object();
  for (const auto& [path, bytes] : input.files)
    files[path] = json::binary(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
  json value = {
      {"internet", input.internet},     {"files", std::move(files)},          {"seed", input.seed},
      {"created_at", input.created_at}, {"certificate", key.certificate_pem}, {"key", key.key_pem}};
  json::to_cbor(value, packed.bytes);
  packed.certificate_pem = std::move(key.certificate_pem);
  return packed;
}

}  // namespace gyges::network
