/* Loaded before libc (LD_PRELOAD), so that a process sees a wall clock that is wrong by the milliseconds in the file WRONG_CLOCK.
   libfaketime does the same, but makes a JVM thirty times slower. The kernel knows the right time only, so the end of a wait that is
   given as a time of that clock is corrected; without this, threads of the JVM wait without a pause after a step back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t none = 0;
static const volatile int64_t *wrong_by = &none;

__attribute__((constructor)) static void start(void) {
  const char *name = getenv("WRONG_CLOCK");
  int file = name ? open(name, O_RDONLY) : -1;
  if (file < 0) return;
  void *shared = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (shared != MAP_FAILED) wrong_by = shared;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  long failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && clock == CLOCK_REALTIME) {
    int64_t all = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + *wrong_by * 1000000;
    now->tv_sec = all / 1000000000;
    now->tv_nsec = all % 1000000000;
  }
  return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec at;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &at);
  if (!failed) *now = (struct timeval){at.tv_sec, at.tv_nsec / 1000};
  return failed;
}

time_t time(time_t *result) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (result) *result = at.tv_sec;
  return at.tv_sec;
}

/* Times of the clock that starts with the machine are small. */
static struct timespec right(const struct timespec *end) {
  struct timespec at = *end;
  if (at.tv_sec > 1000000000) at.tv_sec -= *wrong_by / 1000;
  return at;
}

typedef int wait_until(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end) {
  static wait_until *real;
  if (!real) real = (wait_until *)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2"); /* x86; its oldest one differs */
  if (!real) real = (wait_until *)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  struct timespec at = right(end);
  return real(condition, mutex, &at);
}
