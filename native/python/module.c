/* ferrite_py._native: the module itself (multi-phase initialisation, all state in the module). */
#include "python/face.h"

#ifndef FERRITE_VERSION
#define FERRITE_VERSION "unknown"
#endif

module_state *fe_python_state(PyObject *module)
{
    return PyModule_GetState(module);
}

module_state *fe_python_state_of_type(PyTypeObject *type)
{
    return PyType_GetModuleState(type);
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) return NULL;
    if (PyModule_AddType(module, type) != 0) Py_CLEAR(type);
    return type;
}

static int module_exec(PyObject *module)
{
    module_state *state = fe_python_state(module);
    state->server_type = add_type(module, &fe_python_server_spec);
    state->request_type = add_type(module, &fe_python_request_spec);
    state->reactor_type = add_type(module, &fe_python_reactor_spec);
    state->stream_type = add_type(module, &fe_python_stream_spec);
    state->encoder_type = add_type(module, &fe_python_encoder_spec);
    if (state->server_type == NULL || state->request_type == NULL || state->reactor_type == NULL ||
        state->stream_type == NULL || state->encoder_type == NULL)
        return -1;
    PyObject *names = Py_BuildValue("[ssssssss]", "Encoder", "PythonRequest", "Reactor", "Server",
                                    "Stream", "inspect_segment", "metric_rows", "version");
    if (names == NULL) return -1;
    int status = PyModule_AddObjectRef(module, "__all__", names);
    Py_DECREF(names);
    if (status != 0) return -1;
    return PyModule_AddStringConstant(module, "version", FERRITE_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = fe_python_state(module);
    Py_VISIT(state->server_type);
    Py_VISIT(state->request_type);
    Py_VISIT(state->reactor_type);
    Py_VISIT(state->stream_type);
    Py_VISIT(state->encoder_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *state = fe_python_state(module);
    Py_CLEAR(state->server_type);
    Py_CLEAR(state->request_type);
    Py_CLEAR(state->reactor_type);
    Py_CLEAR(state->stream_type);
    Py_CLEAR(state->encoder_type);
    return 0;
}

static PyMethodDef module_methods[] = {
    {"inspect_segment", fe_python_inspect_segment, METH_VARARGS,
     "Check one segment file. See _native.pyi."},
    {"metric_rows", fe_python_metric_rows, METH_NOARGS, "List all metrics. See _native.pyi."},
    {"admit", fe_python_admit, METH_VARARGS, "Accept connections for reactors. See _native.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "ferrite_py._native",
    .m_doc = "The data plane: sessions, commands and the store.",
    .m_size = sizeof(module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
