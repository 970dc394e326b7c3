/*
 * loader.c - the program of targets whose shapes stand in a library.
 */
int library_main(void);

int main(void)
{
    return library_main();
}
