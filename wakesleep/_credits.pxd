"""The built-in rules, for the other compiled modules."""

cdef enum:  # rules; of those beyond WAKE_SLEEP, particles are weighed
    WAKE_SLEEP
    REWEIGHTED
    VIMCO
    VIMCO_ARITHMETIC
    OVIS
    LEAVE_ONE_OUT
    BIHM
    CALLABLE    # of the user's own


cdef double exp(double x) noexcept nogil
cdef void give_credit(int rule, double gamma, Py_ssize_t n_particles, double *log_w, double *scratch, float *v,
                      float *u) noexcept nogil
