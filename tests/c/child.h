/*
 * A second process, for what one process cannot be at once: a server that runs out of descriptors or
 * ends, and the peers that watch it. The two talk in numbers over a socket.
 *
 * To be started before this process has used tlsloop: a forked child may not use it after.
 */
#ifndef CHILD_H
#define CHILD_H

#include <sys/types.h>

struct child {
    pid_t pid;
    int socket;
};

/* The child runs the function and then returns from main. */
struct child child_start(void (*run)(int socket, void *arg), void *arg);

void child_tell(int socket, long value);
long child_hear(int socket);       /* ends the case when the other side is gone */
int child_wait(struct child *child); /* its wait status */
void child_ended_well(struct child *child);

/*
 * For children that end without a stop: a server that was never stopped is a leak by design, and valgrind cannot be told so
 * for one process alone. Under it the child, which calls the first of these before all else (what is registered first runs
 * last), ends itself as soon as all clean-up is done, and says so before; the second is child_ended_well for such a child.
 */
void child_without_leak_check(int socket);
void child_ended_at_exit(struct child *child);

/* One that only holds a copy of every descriptor, for as long as the case wants. */
pid_t child_that_holds(void);
void child_let_go(pid_t child);

#endif
