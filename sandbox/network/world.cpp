#include "sandbox/network/world.h"

namespace gyges::network {
namespace {

// A world in which nothing exists.
class EmptyWorld final : public World {
 public:
  DatagramService& dns() override { return silence_; }
  std::unique_ptr<StreamService> open_stream(const Connection&, StreamPort&) override {
    return nullptr;
  }
  bool listens(const Endpoint&, const std::string&) override { return false; }
  DatagramService* open_datagram(const Connection&) override { return nullptr; }

 private:
  class Silence final : public DatagramService {
    void received(const Connection&, std::string_view, DatagramPort&) override {}
  };
  Silence silence_;
};

}  // namespace

Result<std::unique_ptr<World>> open_world(std::string_view, const WorldContext&) {
  return std::make_unique<EmptyWorld>();
}

}  // namespace gyges::network
