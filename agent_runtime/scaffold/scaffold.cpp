#include "agent_runtime/scaffold/scaffold.h"

#include <algorithm>
#include <cstdlib>

#include "agent_runtime/scaffold/mcp_configuration.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/network/names/host_name.h"

namespace gyges::scaffold {
namespace {

using cues::TemplateContext;
using nlohmann::json;
namespace fs = std::filesystem;

const std::string modules_inside = "/usr/local/lib/node_modules";
const std::string programs_inside = "/usr/local/bin/";
constexpr std::int64_t installed_before = files_before + 600;  // seconds before the world's day

Result<ProfileDialect> dialect_of(const AgentProfile& profile, const ScaffoldRequest& request,
                                  const TemplateContext& context) {
  for (const auto& candidate : profile.dialects) {
    if (!request.dialect.empty() && candidate.name != request.dialect) continue;
    ProfileDialect dialect = candidate;
    GYGES_TRY(dialect.host, cues::render(dialect.host, context, profile.name + " endpoint"));
    GYGES_TRY(dialect.host, network::canonical_host_name(dialect.host));
    return dialect;
  }
  std::vector<std::string> known;
  for (const auto& dialect : profile.dialects) known.push_back(dialect.name);
  return fail("prepare agent", profile.name, "does not speak " + quoted(request.dialect),
              "use one of " + join(known, ", "));
}

std::string origin_of(const ProfileDialect& dialect) {
  std::string text = (dialect.tls ? "https://" : "http://") + dialect.host;
  if (dialect.port != (dialect.tls ? 443 : 80)) text += ":" + std::to_string(dialect.port);
  return text;
}

std::string placeholder_key(const AgentProfile& profile, std::uint64_t seed) {
  static constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  cues::SeededStream stream(seed, "agent key");
  std::string key = profile.key_prefix;
  for (std::size_t i = 0; i < profile.key_length; ++i) key += letters[stream.below(letters.size())];
  return key;
}

Status render_json(json& value, const TemplateContext& context, const std::string& source,
                   std::set<std::string>& used) {
  if (value.is_string()) {
    GYGES_TRY(value, cues::render(value.get<std::string>(), context, source, &used));
    return ok();
  }
  if (value.is_array())
    for (auto& item : value) GYGES_CHECK(render_json(item, context, source, used));
  if (!value.is_object()) return ok();
  json rendered = json::object();
  for (auto& [key, item] : value.items()) {
    GYGES_CHECK(render_json(item, context, source, used));
    GYGES_TRY(std::string name, cues::render(key, context, source, &used));
    rendered[name] = std::move(item);
  }
  value = std::move(rendered);
  return ok();
}

Result<std::vector<std::string>> render_all(const std::vector<std::string>& texts,
                                            const TemplateContext& context,
                                            const std::string& source) {
  std::vector<std::string> rendered;
  for (const auto& text : texts) {
    GYGES_TRY(std::string one, cues::render(text, context, source));
    rendered.push_back(std::move(one));
  }
  return rendered;
}

Status add_variables(const Variables& from, const TemplateContext& context,
                     const std::string& source, Variables& to) {
  for (const auto& [name, text] : from) {
    GYGES_TRY(std::string value, cues::render(text, context, source + " " + name));
    to.emplace_back(name, std::move(value));
  }
  return ok();
}

Status add_files(const TemplateContext& context, Scaffold& scaffold) {
  for (const auto& file : scaffold.profile.files) {
    std::string source = scaffold.profile.name + " file " + file.path;
    std::set<std::string> used;
    isolation::SeedFile seed;
    GYGES_TRY(seed.path, cues::render(file.path, context, source));
    if (file.json.empty()) {
      GYGES_TRY(seed.content, cues::render(file.text, context, source, &used));
    } else {
      json value = json::parse(file.json);
      GYGES_CHECK(render_json(value, context, source, used));
      seed.content = value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
    }
    if (used.contains("prompt") || used.contains("system_prompt"))
      scaffold.prompt_files.insert(seed.path);
    seed.mode = file.mode;
    seed.mtime = context.day - files_before;
    scaffold.files.push_back(std::move(seed));
  }
  return ok();
}

Status add_program(const ScaffoldRequest& request, const TemplateContext& context,
                   Scaffold& scaffold) {
  const AgentProfile& profile = scaffold.profile;
  if (!profile.program) return ok();
  const ProfileProgram& program = *profile.program;
  fs::path directory = request.directory.empty() ? agents_directory() : request.directory;
  fs::path modules = fs::absolute(directory / profile.name / program.modules);
  std::error_code error;
  modules = fs::weakly_canonical(modules, error);
  std::string cure = "install it with `scripts/install-agents " + profile.name +
                     "`, or set GYGES_AGENTS to the directory that holds " + profile.name + "/";
  if (error || !fs::is_regular_file(modules / program.executable, error))
    return fail("find agent program", (modules / program.executable).string(),
                profile.title + " (" + program.package + ") is not installed there", cure);
  for (const auto& needed : program.needs)
    if (!fs::exists(needed, error))
      return fail("find agent program", needed, profile.title + " needs it, and it is not there",
                  "install it at that path");
  isolation::Mount mount;
  mount.target = modules_inside;
  mount.source = modules.string();
  scaffold.mounts.push_back(std::move(mount));
  isolation::SeedFile link;
  link.kind = isolation::SeedFile::Kind::symlink;
  link.path = programs_inside + (program.command.empty() ? profile.name : program.command);
  link.content = "../lib/node_modules/" + program.executable;
  link.agent_owned = false;
  link.mtime = context.day - installed_before;
  scaffold.files.push_back(std::move(link));
  return ok();
}

bool reaches_tools(const AgentProfile& profile, const ScaffoldRequest& request) {
  return !request.tools.tools.empty() && profile.mcp && !profile.mcp->remote.empty();
}

Result<ToolHost> filled_in(ToolHost tools, const TemplateContext& context) {
  GYGES_TRY(tools.host, cues::render(tools.host, context, "tool_host"));
  GYGES_TRY(tools.host, network::canonical_host_name(tools.host));
  return tools;
}

json site_of(const std::string& host, std::uint16_t port, bool tls) {
  json ports = json::array({port});
  return {{"host", host},
          {"http_ports", tls ? json::array() : ports},
          {"https_ports", tls ? ports : json::array()},
          {"handed_out", true}};
}

network::NetworkRule rule_for(const std::string& name, const std::string& host,
                              std::uint16_t port) {
  network::NetworkRule rule;
  rule.name = name;
  rule.domains = {host};
  rule.ports = {{port, port}};
  rule.udp = false;
  rule.action = network::RuleAction::simulate;
  return rule;
}

bool is_below(const std::string& path, const std::string& above) {
  return path == above || path.starts_with(above + "/");
}

}  // namespace

fs::path agents_directory() {
  if (const char* chosen = std::getenv("GYGES_AGENTS"); chosen != nullptr && *chosen != '\0')
    return chosen;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fs::path(cache) / "gyges/agents";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : "/nonexistent") / ".cache/gyges/agents";
}

Result<std::string> handed_out_sites(const ScaffoldRequest& request,
                                     const TemplateContext& context) {
  GYGES_TRY(AgentProfile profile, load_profile(request.profile));
  GYGES_TRY(ProfileDialect dialect, dialect_of(profile, request, context));
  json sites = json::array({site_of(dialect.host, dialect.port, dialect.tls)});
  if (reaches_tools(profile, request)) {
    GYGES_TRY(ToolHost tools, filled_in(request.tools, context));
    if (tools.host == dialect.host)
      return fail("prepare agent", profile.name,
                  "the scenario's command tools and the model would be at one host, " + tools.host,
                  "give the scenario's tool_host another `host`");
    sites.push_back(site_of(tools.host, tools.port, tools.tls));
  }
  return sites.dump();
}

Result<Scaffold> prepare_scaffold(const ScaffoldRequest& request, const TemplateContext& context,
                                  const std::string& system_prompt,
                                  const std::string& user_prompt) {
  Scaffold scaffold;
  GYGES_TRY(scaffold.profile, load_profile(request.profile));
  const AgentProfile& profile = scaffold.profile;
  GYGES_TRY(scaffold.dialect, dialect_of(profile, request, context));
  scaffold.model = request.model.empty() ? profile.model : request.model;
  scaffold.key = placeholder_key(profile, context.seed);
  TemplateContext inner = context;
  auto& values = inner.values;
  values["prompt"] = user_prompt;
  values["system_prompt"] = system_prompt;
  values["home"] = context.values.at("persona.home");
  values["host"] = scaffold.dialect.host;
  values["origin"] = origin_of(scaffold.dialect);
  values["base_url"] = values["origin"] + scaffold.dialect.path;
  values["model"] = scaffold.model;
  values["key"] = scaffold.key;
  values["ca_root"] = "/etc/ssl/certs/internal-root.pem";
  values["ca_bundle"] = "/etc/ssl/certs/ca-certificates.crt";
  for (const auto& [name, value] : scaffold.dialect.values) values[name] = value;
  std::vector<std::string> argv = profile.argv;
  if (argv.empty()) argv = request.command;
  if (argv.empty())
    return fail("prepare agent", profile.name, "there is no command line",
                "give it after --, or as \"command\" of the agent file");
  if (!profile.argv.empty() && !request.command.empty())
    return fail("prepare agent", profile.name, "has a command line of its own",
                "leave out what stands after --, or use the profile `command`");
  argv.insert(argv.end(), scaffold.dialect.argv.begin(), scaffold.dialect.argv.end());
  GYGES_TRY(scaffold.argv, render_all(argv, inner, profile.name + " argv"));
  GYGES_CHECK(add_variables(profile.environment, inner, profile.name, scaffold.environment));
  GYGES_CHECK(
      add_variables(scaffold.dialect.environment, inner, profile.name, scaffold.environment));
  ToolHost tools = request.tools;
  if (reaches_tools(profile, request)) {
    GYGES_TRY(tools, filled_in(std::move(tools), context));
  }
  if (scaffold.dialect.tls || (reaches_tools(profile, request) && tools.tls))
    for (const auto& [name, which] : profile.ca_variables)
      scaffold.environment.emplace_back(name, values[which == "root" ? "ca_root" : "ca_bundle"]);
  GYGES_CHECK(add_program(request, inner, scaffold));
  GYGES_CHECK(add_files(inner, scaffold));
  GYGES_CHECK(add_mcp_servers(request.servers, tools, inner, scaffold));
  return scaffold;
}

void apply_scaffold(const Scaffold& scaffold, isolation::Policy& policy) {
  auto& mounts = policy.filesystem.mounts;
  if (!scaffold.mounts.empty()) {
    // The link to the program needs a writable place; one that the policy does not have is made.
    bool fresh = std::any_of(mounts.begin(), mounts.end(), [](const isolation::Mount& mount) {
      return mount.kind == isolation::Mount::Kind::fresh && is_below(modules_inside, mount.target);
    });
    if (!fresh) {
      isolation::Mount mount;
      mount.kind = isolation::Mount::Kind::fresh;
      mount.target = "/usr/local";
      mount.agent_owned = false;
      mounts.push_back(std::move(mount));
    }
    std::erase_if(mounts, [](const isolation::Mount& mount) {
      return is_below(mount.target, modules_inside);
    });
    mounts.insert(mounts.end(), scaffold.mounts.begin(), scaffold.mounts.end());
  }
  for (const auto& [name, value] : scaffold.environment) {
    std::erase_if(policy.environment_set, [&](const auto& set) { return set.first == name; });
    policy.environment_set.emplace_back(name, value);
  }
  network::NetworkPolicy& network = policy.network;
  if (network.mode == network::NetworkPolicy::Mode::none) {
    network.mode = network::NetworkPolicy::Mode::gateway;
    network.interface = network::default_interface();
    network.rules.clear();
  }
  if (scaffold.tools)
    network.rules.insert(network.rules.begin(),
                         rule_for("tools", scaffold.tools->host, scaffold.tools->port));
  network.rules.insert(network.rules.begin(),
                       rule_for("model", scaffold.dialect.host, scaffold.dialect.port));
}

}  // namespace gyges::scaffold
