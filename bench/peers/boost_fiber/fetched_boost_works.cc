// A program that CMake tries to build: do this compiler and its libraries take the Boost.Fiber that has been fetched?
#include <boost/fiber/all.hpp>

int main() {
  boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(1U, true);
  boost::fibers::fiber([] {}).join();
}
