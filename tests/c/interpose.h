/*
 * System calls that fail when the case says so: the definitions here stand before those of the C library.
 *
 * A call fails only on a thread that is marked, so the peers of a case, which run on threads that are not,
 * are never hit. To be included by the one source file of a test program, because a program that does not
 * ask for it must not get it.
 */
#ifndef INTERPOSE_H
#define INTERPOSE_H

#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* All that the library calls and that can fail for reasons of the machine (nm -D --undefined-only). */
enum call { ACCEPT4, BIND, CLOSE, CONNECT, EPOLL_CREATE1, EPOLL_CTL, EPOLL_WAIT, EVENTFD, FCNTL, GETPEERNAME,
            GETSOCKNAME, GETSOCKOPT, IOCTL, LISTEN, OPEN, POLL, PTHREAD_CREATE, PTHREAD_SIGMASK, READ, RECV, SEND,
            SETSOCKOPT, SHUTDOWN, SOCKET, STATX, TIMERFD_CREATE, TIMERFD_SETTIME, UNLINK, WRITE, CALLS };

/*
 * The errors of each man page, and those that the protocols below add (tcp(7), ip(7), unix(7)). The first of
 * each is the likeliest. EINTR comes last, where the call can be interrupted.
 */
static const struct {
    const char *name;
    int errors[25];
} interposed[CALLS] = {
    [ACCEPT4] = { "accept4", { EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO, EPERM, EAGAIN, EBADF, EFAULT,
                               EINVAL, ENOTSOCK, EOPNOTSUPP, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH,
                               ENETUNREACH, ENOSR, ESOCKTNOSUPPORT, EPROTONOSUPPORT, ETIMEDOUT, EINTR } },
    [BIND] = { "bind", { EADDRINUSE, EACCES, EADDRNOTAVAIL, EBADF, EINVAL, ENOTSOCK, EFAULT, ELOOP, ENAMETOOLONG,
                         ENOENT, ENOMEM, ENOTDIR, EROFS } },
    [CLOSE] = { "close", { EIO, ENOSPC, EDQUOT, EBADF, EINTR } },
    [CONNECT] = { "connect", { ECONNREFUSED, EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY,
                               EBADF, EFAULT, EISCONN, ENETUNREACH, ENOTSOCK, EPROTOTYPE, ETIMEDOUT, EHOSTUNREACH,
                               EINTR } },
    [EPOLL_CREATE1] = { "epoll_create1", { EMFILE, ENFILE, ENOMEM, EINVAL } },
    [EPOLL_CTL] = { "epoll_ctl", { ENOMEM, ENOSPC, EBADF, EEXIST, EINVAL, ELOOP, ENOENT, EPERM } },
    [EPOLL_WAIT] = { "epoll_wait", { EBADF, EFAULT, EINVAL, EINTR } },
    [EVENTFD] = { "eventfd", { EMFILE, ENFILE, ENODEV, ENOMEM, EINVAL } },
    [FCNTL] = { "fcntl", { EMFILE, EINVAL, EBADF, EPERM, EAGAIN } },
    [GETPEERNAME] = { "getpeername", { ENOTCONN, ENOBUFS, EBADF, EFAULT, EINVAL, ENOTSOCK } },
    [GETSOCKNAME] = { "getsockname", { ENOBUFS, EBADF, EFAULT, EINVAL, ENOTSOCK } },
    [GETSOCKOPT] = { "getsockopt", { ENOPROTOOPT, EBADF, EFAULT, EINVAL, ENOTSOCK, ENOMEM } },
    [IOCTL] = { "ioctl", { EBADF, EFAULT, EINVAL, ENOTTY } },
    [LISTEN] = { "listen", { EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP } },
    [OPEN] = { "open", { ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR, EROFS, EIO } },
    [POLL] = { "poll", { ENOMEM, EFAULT, EINVAL, EINTR } },
    [PTHREAD_CREATE] = { "pthread_create", { EAGAIN, EINVAL, EPERM } },
    [PTHREAD_SIGMASK] = { "pthread_sigmask", { EINVAL, EFAULT } },
    [READ] = { "read", { EIO, EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, EINTR } },
    [RECV] = { "recv", { ECONNRESET, ENOMEM, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH, EBADF, EFAULT, EINVAL, ENOTCONN,
                         ENOTSOCK, EAGAIN, EINTR } },
    [SEND] = { "send", { EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT, EHOSTUNREACH, EACCES, EALREADY, EBADF,
                         EDESTADDRREQ, EFAULT, EINVAL, EISCONN, EMSGSIZE, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EAGAIN,
                         EINTR } },
    [SETSOCKOPT] = { "setsockopt", { ENOPROTOOPT, ENOMEM, EBADF, EFAULT, EINVAL, ENOTSOCK, EDOM } },
    [SHUTDOWN] = { "shutdown", { ENOTCONN, EBADF, EINVAL, ENOTSOCK } },
    [SOCKET] = { "socket", { EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT } },
    [STATX] = { "statx", { ENOENT, EACCES, ENOMEM, ELOOP, EBADF, EFAULT, ENOTDIR, EIO } },
    [TIMERFD_CREATE] = { "timerfd_create", { EMFILE, ENFILE, ENODEV, ENOMEM, EPERM, EINVAL } },
    [TIMERFD_SETTIME] = { "timerfd_settime", { EINVAL, EBADF, EFAULT, ECANCELED } },
    [UNLINK] = { "unlink", { EACCES, EBUSY, EIO, ENOENT, EPERM, EROFS, ENOMEM } },
    [WRITE] = { "write", { EIO, ENOSPC, EBADF, EFAULT, EINVAL, EPIPE, EINTR } },
};

static _Thread_local bool interpose_marked;
static atomic_int interpose_victim = -1; /* which call */
static atomic_int interpose_countdown;   /* its how manieth use from now fails; 0: none */
static atomic_int interpose_error;
static atomic_int interpose_second; /* the use behind the one that failed fails with this; 0: it does not */
static atomic_bool interpose_lasting; /* all uses from there on fail */
static atomic_uint interpose_seen;    /* calls on marked threads, failed or not */
static atomic_uint interpose_failed;
static atomic_size_t interpose_most; /* bytes of one recv, send or read; 0: as many as are asked for */

/* The n-th use of the call fails from now on; lasting: and all that follow. */
static inline void interpose_arm(enum call call, int n, int error, bool lasting)
{
    interpose_error = error;
    interpose_second = 0;
    interpose_lasting = lasting;
    interpose_seen = interpose_failed = 0;
    interpose_victim = (int)call;
    interpose_countdown = n;
}

/* The next use of the call fails, and the one behind it with another error. */
static inline void interpose_arm_two(enum call call, int error, int second)
{
    interpose_arm(call, 0, error, false);
    interpose_second = second;
    interpose_countdown = 1;
}

/* Nothing fails any more. Whether anything has. */
static inline bool interpose_disarm(void)
{
    interpose_countdown = 0;
    interpose_victim = -1;
    return interpose_failed > 0;
}

static inline bool interpose_fails(enum call call)
{
    if (!interpose_marked) return false;
    interpose_seen++;
    if (interpose_victim != (int)call || interpose_countdown == 0) return false;
    if (interpose_countdown > 1 && --interpose_countdown > 0) return false;
    if (!interpose_lasting) interpose_countdown = interpose_second != 0;
    interpose_failed++;
    errno = interpose_error;
    if (interpose_second != 0) interpose_error = atomic_exchange(&interpose_second, 0);
    return true;
}

static inline size_t interpose_share(size_t len)
{
    size_t most = interpose_most;
    return interpose_marked && most > 0 && most < len ? most : len;
}

static inline void *interpose_next(const char *name)
{
    void *next = dlsym(RTLD_NEXT, name);
    CHECK(next != NULL);
    return next;
}

/*
 * A socket that says that it has nothing, or no room, or no peer, though it has, will not say so again: who believes
 * it waits until a deadline. A peer that is not told of our end goes on waiting. The limits of all other runs are far away.
 */
static inline bool interpose_stalls(enum call call, int error)
{
    if (call == RECV || call == SEND) return error == EAGAIN;
    return call == SHUTDOWN || (call == GETPEERNAME && error == ENOTCONN);
}

static inline unsigned interpose_limit_ms(bool stalls)
{
    return (stalls ? 700 : 30000) * check_time_factor();
}

#define INTERPOSE(call, ...) (interpose_fails(call) ? -1 : (int)syscall(__VA_ARGS__))

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    if (interpose_fails(RECV)) return -1;
    return syscall(SYS_recvfrom, fd, buf, interpose_share(len), flags, NULL, NULL);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    if (interpose_fails(SEND)) return -1;
    return syscall(SYS_sendto, fd, buf, interpose_share(len), flags, NULL, 0);
}

ssize_t read(int fd, void *buf, size_t len)
{
    if (interpose_fails(READ)) return -1;
    /* Of an eventfd or a timerfd less than 8 bytes cannot be had. */
    return syscall(SYS_read, fd, buf, len == 8 ? len : interpose_share(len));
}

ssize_t write(int fd, const void *buf, size_t len)
{
    if (interpose_fails(WRITE)) return -1;
    return syscall(SYS_write, fd, buf, len);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
    return INTERPOSE(ACCEPT4, SYS_accept4, fd, address, len, flags);
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
    return INTERPOSE(BIND, SYS_bind, fd, address, len);
}

/* The descriptor is gone even so, as on Linux it always is (close(2), "Dealing with error returns"). */
int close(int fd)
{
    bool fails = interpose_fails(CLOSE);
    int answer = (int)syscall(SYS_close, fd);
    if (fails) errno = interpose_error;
    return fails ? -1 : answer;
}

/* Interrupted, it goes on by itself (connect(2), EINTR). */
int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    bool fails = interpose_fails(CONNECT);
    if (fails && interpose_error != EINTR) return -1;
    int answer = (int)syscall(SYS_connect, fd, address, len);
    if (fails) errno = interpose_error;
    return fails ? -1 : answer;
}

int epoll_create1(int flags)
{
    return INTERPOSE(EPOLL_CREATE1, SYS_epoll_create1, flags);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    return INTERPOSE(EPOLL_CTL, SYS_epoll_ctl, epoll, op, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
    return INTERPOSE(EPOLL_WAIT, SYS_epoll_pwait, epoll, events, room, timeout, NULL, 0);
}

int eventfd(unsigned count, int flags)
{
    return INTERPOSE(EVENTFD, SYS_eventfd2, count, flags);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return INTERPOSE(FCNTL, SYS_fcntl, fd, command, argument);
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
    return INTERPOSE(GETPEERNAME, SYS_getpeername, fd, address, len);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
    return INTERPOSE(GETSOCKNAME, SYS_getsockname, fd, address, len);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
    return INTERPOSE(GETSOCKOPT, SYS_getsockopt, fd, level, name, value, len);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return INTERPOSE(IOCTL, SYS_ioctl, fd, request, argument);
}

int listen(int fd, int backlog)
{
    return INTERPOSE(LISTEN, SYS_listen, fd, backlog);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    return INTERPOSE(OPEN, SYS_openat, AT_FDCWD, path, flags, mode);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec limit = { timeout / 1000, timeout % 1000 * 1000000L };
    return INTERPOSE(POLL, SYS_ppoll, fds, n, timeout < 0 ? NULL : &limit, NULL, (size_t)0);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*run)(void *),
                   void *restrict argument)
{
    if (interpose_fails(PTHREAD_CREATE)) return interpose_error;
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&next = interpose_next("pthread_create");
    return next(thread, attributes, run, argument);
}

int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict before)
{
    if (interpose_fails(PTHREAD_SIGMASK)) return interpose_error;
    return syscall(SYS_rt_sigprocmask, how, set, before, (size_t)8) == 0 ? 0 : errno;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    return INTERPOSE(SETSOCKOPT, SYS_setsockopt, fd, level, name, value, len);
}

int shutdown(int fd, int how)
{
    return INTERPOSE(SHUTDOWN, SYS_shutdown, fd, how);
}

int socket(int domain, int type, int protocol)
{
    return INTERPOSE(SOCKET, SYS_socket, domain, type, protocol);
}

struct statx;

int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict room)
{
    return INTERPOSE(STATX, SYS_statx, directory, path, flags, mask, room);
}

int timerfd_create(int clock, int flags)
{
    return INTERPOSE(TIMERFD_CREATE, SYS_timerfd_create, clock, flags);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *spec, struct itimerspec *old)
{
    return INTERPOSE(TIMERFD_SETTIME, SYS_timerfd_settime, fd, flags, spec, old);
}

int unlink(const char *path)
{
    return INTERPOSE(UNLINK, SYS_unlink, path);
}

#endif
