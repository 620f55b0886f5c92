/* Holds a pod's namespaces: does nothing, reaps what the pod's other containers leave behind, stops when told to. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void stop(int number)
{
    (void)number;
    _exit(0);
}

static void reap(int number)
{
    (void)number;
    while (waitpid(-1, 0, WNOHANG) > 0)
        continue;
}

int main(void)
{
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    signal(SIGCHLD, reap);
    for (;;)
        pause();
}
