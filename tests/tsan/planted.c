/* Two threads write one number without agreement. A run under ThreadSanitizer that does not report this reports nothing. */
#include <pthread.h>

static int number;

static void *write_it(void *arg)
{
    for (int i = 0; i < 1000; i++) number++;
    return arg;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_it, NULL) != 0) return 2;
    write_it(NULL);
    return pthread_join(thread, NULL);
}
