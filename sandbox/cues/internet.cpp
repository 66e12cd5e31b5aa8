#include "sandbox/cues/internet.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_document.h"
#include "sandbox/network/world/pack.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

constexpr char system_bundle[] = "/etc/ssl/certs/ca-certificates.crt";

Status render_strings(json& value, const TemplateContext& context, const std::string& place) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.find("{{") == std::string::npos) return ok();
    GYGES_TRY(value, render(text, context, place));
    return ok();
  }
  if (!value.is_structured()) return ok();
  for (auto& [key, child] : value.items())
    GYGES_CHECK(render_strings(child, context, place + "/" + key));
  return ok();
}

isolation::SeedFile root_file(std::string path, std::string content, std::int64_t mtime) {
  isolation::SeedFile file;
  file.path = std::move(path);
  file.content = std::move(content);
  file.agent_owned = false;
  file.mtime = mtime;
  return file;
}

}  // namespace

Result<PreparedInternet> prepare_internet(const Persona& persona, const TemplateContext& context) {
  PreparedInternet prepared;
  if (persona.internet.empty()) return prepared;
  GYGES_TRY(json internet, parse_json(persona.internet, persona.name));
  GYGES_CHECK(render_strings(internet, context, persona.name + " at /internet"));
  GYGES_TRY(network::PackedWorld packed,
            network::pack_world({internet, persona.internet_files, context.seed, context.day,
                                 persona.company.empty() ? persona.name : persona.company}));
  prepared.packed = std::move(packed.bytes);
  // As update-ca-certificates leaves it: the certificate, its link by hash, which OpenSSL and
  // Python look for, and the bundle, which curl, git and wget read. The host's authorities stay.
  const std::int64_t installed = context.day - 86400LL * 417 + 41233;
  const std::string local = "/usr/local/share/ca-certificates/internal-root.crt";
  prepared.trust_store.push_back(root_file(local, packed.certificate_pem, installed));
  auto link = root_file("/etc/ssl/certs/internal-root.pem", local, installed + 40);
  link.kind = isolation::SeedFile::Kind::symlink;
  prepared.trust_store.push_back(link);
  link.path = "/etc/ssl/certs/" + packed.certificate_hash + ".0";
  link.content = "internal-root.pem";
  prepared.trust_store.push_back(std::move(link));
  std::string bundle;
  if (auto host = read_file(system_bundle)) bundle = std::move(*host);
  prepared.trust_store.push_back(
      root_file(system_bundle, bundle + packed.certificate_pem, installed + 41));
  return prepared;
}

}  // namespace gyges::cues
