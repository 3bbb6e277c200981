// Gives the script and the socket their turn between frames.
#include "viz/actions/driver.h"

namespace reattend::viz {

void Driver::run_script(const std::filesystem::path& file, Print print) {
  script_ = Script::from_file(actions_, file);
  print_ = std::move(print);
}

const std::string& Driver::listen(const std::string& where, std::function<void()> wake) {
  listener_ = std::make_unique<Listener>(where, std::move(wake));
  return listener_->where();
}

void Driver::drive() {
  if (script_) script_->advance(bench_, print_);
  if (listener_) listener_->serve(actions_, bench_);
}

}  // namespace reattend::viz
