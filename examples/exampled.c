/*
 * exampled - a small daemon that shows all that a Guru Meditation Report tells: an order desk.
 *
 *     exampled [--port N] [--log-dir DIR]      then: kill -USR2 PID
 *
 * The main thread serves clients on loopback (send "order TEXT", get a number), three workers take the orders from a queue, a clerk sweeps up
 * now and then, and one thread runs a handful of courier coroutines on stacks of their own. What gmr needs of it stands
 * in tell_gmr(), and in courier_new().
 *
 * Licensed under the Apache License, Version 2.0.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "gmr/gmr.h"
#include "gmr/green.h"

#define WORKERS 3
#define COURIERS 5
#define QUEUE 64
#define COURIER_STACK ((size_t)64 << 10)

/* ------------------------------------------------------------------------------------------------ the desk */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    unsigned long queue[QUEUE];
    unsigned first, waiting;
    unsigned long taken, done, swept;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};

static volatile sig_atomic_t closing;

static unsigned long take_order(void)
{
    pthread_mutex_lock(&desk.lock);
    unsigned long number = ++desk.taken;
    if (desk.waiting < QUEUE)
        desk.queue[(desk.first + desk.waiting++) % QUEUE] = number;
    pthread_cond_signal(&desk.arrived);
    pthread_mutex_unlock(&desk.lock);
    return number;
}

static void wait_for_order(void)
{
    while (!desk.waiting && !closing)
        pthread_cond_wait(&desk.arrived, &desk.lock);
}

static void *worker(void *argument)
{
    pthread_mutex_lock(&desk.lock);
    while (!closing) {
        wait_for_order();
        if (!desk.waiting)
            continue;
        desk.first = (desk.first + 1) % QUEUE;
        desk.waiting--;
        desk.done++;
    }
    pthread_mutex_unlock(&desk.lock);
    return argument;
}

static void *clerk(void *argument)
{
    const struct timespec pause = {.tv_sec = 1};
    while (!closing) {
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&desk.lock);
        desk.swept++;
        pthread_mutex_unlock(&desk.lock);
    }
    return argument;
}

/* ------------------------------------------------------------------------------------------------ couriers */

struct courier {
    const char *name, *street;
    ucontext_t context;
    unsigned char *stack;
    struct gmr_green *green;
    unsigned long rounds;
};

static struct courier couriers[COURIERS] = {
    {.name = "Ada", .street = "Analytical Alley"}, {.name = "Grace", .street = "Hopper Hill"},
    {.name = "Dennis", .street = "Ritchie Road"},  {.name = "Ken", .street = "Thompson Terrace"},
    {.name = "Barbara", .street = "Liskov Lane"},
};
static ucontext_t depot;

/* Back to the depot until it is our turn again. */
static void rest(struct courier *courier, const char *why)
{
    gmr_green_wait(courier->green, why, courier->street);
    swapcontext(&courier->context, &depot);
    gmr_green_wait(courier->green, NULL, NULL);
}

static void climb_stairs(struct courier *courier, int floors)
{
    if (floors > 0)
        climb_stairs(courier, floors - 1);
    else
        rest(courier, "the door");
    courier->rounds++;
}

static void deliver(struct courier *courier)
{
    rest(courier, "a parcel");
    climb_stairs(courier, (int)(courier - couriers));
}

/* makecontext hands over ints only. */
static void courier_main(int index)
{
    for (;;)
        deliver(&couriers[index]);
}

static int courier_new(int index)
{
    struct courier *courier = &couriers[index];
    courier->stack = malloc(COURIER_STACK);
    if (!courier->stack || getcontext(&courier->context) < 0)
        return -1;
    courier->context.uc_stack.ss_sp = courier->stack;
    courier->context.uc_stack.ss_size = COURIER_STACK;
    courier->context.uc_link = &depot;
    makecontext(&courier->context, (void (*)(void))courier_main, 1, index);
    courier->green = gmr_green_add(gmr_green_layout(GMR_LAYOUT_UCONTEXT), courier->stack, COURIER_STACK,
                                   &courier->context, (void *)courier_main, NULL);
    gmr_green_name(courier->green, courier->name);
    return 0;
}

static void *dispatcher(void *argument)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    for (int i = 0; i < COURIERS; i++)
        if (courier_new(i) < 0)
            return NULL;
    for (unsigned round = 0; !closing; round++) {
        for (int i = 0; i < COURIERS; i++)
            if (round % (unsigned)(i + 1) == 0) /* some are busier than others */
                swapcontext(&depot, &couriers[i].context);
        nanosleep(&pause, NULL);
    }
    for (int i = 0; i < COURIERS; i++) {
        gmr_green_del(couriers[i].green);
        free(couriers[i].stack);
    }
    return argument;
}

/* ------------------------------------------------------------------------------------------------ for gmr */

static const char *database_url = "mysql://exampled:open-sesame@db.example.org/orders";
static const char *api_token = "cafebabe-1234";
static const char *listen_address = "127.0.0.1";
static int port;
static bool verbose = true;
static double discount = 0.125;

static int order_desk_section(struct gmr_writer *writer, void *userdata)
{
    static const char *const columns[] = {"Courier", "Street", "Rounds"};
    /* A report is made when something is stuck: never wait for a lock here. */
    bool locked = pthread_mutex_trylock(&desk.lock) == 0;
    gmr_put_string(writer, "queue lock", locked ? "free" : "held: the figures may be torn");
    gmr_put_uint(writer, "orders taken", desk.taken);
    gmr_put_uint(writer, "orders done", desk.done);
    gmr_put_uint(writer, "orders waiting", desk.waiting);
    if (locked)
        pthread_mutex_unlock(&desk.lock);
    gmr_begin_table(writer, "couriers", columns, 3);
    for (int i = 0; i < COURIERS; i++) {
        char rounds[32];
        snprintf(rounds, sizeof(rounds), "%lu", couriers[i].rounds);
        gmr_put_row(writer, (const char *const[]){couriers[i].name, couriers[i].street, rounds}, 3);
    }
    return gmr_end_table(writer);
}

static int tell_gmr(const char *log_dir)
{
    static const struct gmr_config_option defaults[] = {
        {"listen_address", GMR_CONFIG_STRING, &listen_address, 0},
        {"port", GMR_CONFIG_INT, &port, 0},
        {"verbose", GMR_CONFIG_BOOL, &verbose, 0},
        {"discount", GMR_CONFIG_DOUBLE, &discount, 0},
    };
    static const struct gmr_config_option database[] = {{"connection", GMR_CONFIG_STRING, &database_url, 0}};
    static const struct gmr_config_option api[] = {{"token", GMR_CONFIG_STRING, &api_token, GMR_CONFIG_SECRET}};
    struct gmr_options options = {
        .size = sizeof(options),
        .vendor = "The gmr authors",
        .product = "exampled",
        .version = "1.0",
        .service = "exampled",
        .log_dir = log_dir,
    };
    gmr_config_register_group("DEFAULT", defaults, sizeof(defaults) / sizeof(defaults[0]));
    gmr_config_register_group("database", database, 1);
    gmr_config_register_group("api", api, 1);
    gmr_register_section("Order Desk", order_desk_section, NULL);
    int missing = gmr_setup_autorun(&options);
    if (missing)
        fprintf(stderr, "exampled: %s\n", gmr_setup_message());
    return missing < 0 ? missing : 0;
}

/* ------------------------------------------------------------------------------------------------ serving */

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t bytes = sizeof(address);
    int one = 1;
    inet_pton(AF_INET, listen_address, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        return -1;
    port = ntohs(address.sin_port);
    return fd;
}

static void serve(int client)
{
    char request[256], answer[64];
    ssize_t got = recv(client, request, sizeof(request) - 1, 0);
    if (got > 0) {
        int bytes = snprintf(answer, sizeof(answer), "your order is number %lu\n", take_order());
        send(client, answer, (size_t)bytes, MSG_NOSIGNAL);
    }
    close(client);
}

static void main_loop(int epoll, int listener, int signals)
{
    while (!closing) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) < 1)
            continue;
        if (event.data.fd == signals) {
            closing = 1;
        } else {
            int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (client >= 0)
                serve(client);
        }
    }
}

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd < 0 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void start(pthread_t *thread, const char *name, void *(*function)(void *))
{
    int error = pthread_create(thread, NULL, function, NULL);
    if (error) {
        fprintf(stderr, "exampled: can't start %s: %s\n", name, strerror(error));
        exit(1);
    }
    pthread_setname_np(*thread, name);
}

int main(int argc, char **argv)
{
    pthread_t threads[WORKERS + 2];
    sigset_t ending;
    const char *log_dir = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--port") == 0)
            port = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--log-dir") == 0)
            log_dir = argv[i + 1];
    }
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, NULL); /* before any thread starts: they inherit it */
    if (tell_gmr(log_dir) < 0)
        return 1;

    int listener = listen_on_loopback(), epoll = epoll_create1(EPOLL_CLOEXEC);
    int signals = signalfd(-1, &ending, SFD_CLOEXEC);
    if (watch(epoll, listener) < 0 || watch(epoll, signals) < 0) {
        perror("exampled");
        return 1;
    }
    for (int i = 0; i < WORKERS; i++)
        start(&threads[i], "worker", worker);
    start(&threads[WORKERS], "clerk", clerk);
    start(&threads[WORKERS + 1], "dispatcher", dispatcher);
    fprintf(stderr, "exampled: pid %d is ready, on port %d\n", (int)getpid(), port);
    main_loop(epoll, listener, signals);

    pthread_mutex_lock(&desk.lock);
    pthread_cond_broadcast(&desk.arrived);
    pthread_mutex_unlock(&desk.lock);
    for (int i = 0; i < WORKERS + 2; i++)
        pthread_join(threads[i], NULL);
    gmr_shutdown();
    return 0;
}
